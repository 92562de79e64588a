package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
)

// inContainer is run by a container that has a cgroup's directory at /view. It prints the contents of /view,
// says "removed?", waits until the cgroup is removed, and looks again. $FOREIGN is the name of another
// cgroup, $ID its id.
const inContainer = `
	cat /view/tasks /view/cpu /view/cgroup || echo cannot read
	cat /view/stacks >/dev/null 2>&1 && echo reads stacks
	ls -aR /view
	for f in views version status.json errors metrics; do cat /view/.bpfview/$f; done 2>/dev/null
	[ /view/.. -ef / ] || echo .. leads out
	for way in /view/../$FOREIGN /view/.bpfview/../../$FOREIGN /view/.bpfview/cgroup/$FOREIGN /view/.bpfview/id/$ID /view/.bpfview/self; do
		ls $way 2>/dev/null && echo $way leads out
	done
	touch /view/new 2>&1
	echo removed?
	read x
	cat /view/tasks 2>&1 || ls /view 2>&1 || echo gone`

// installBusybox copies busybox, with its libraries if it has any, to a root directory.
const installBusybox = `
	busybox=$(command -v busybox)
	for file in $(ldd $busybox 2>/dev/null | grep -o '/[^ ]*'); do
		mkdir -p $0${file%/*}
		cp $file $0$file
	done
	cp $busybox $0/bin/busybox
	chroot $0 /bin/busybox --install -s /bin`

// isolation describes the namespaces and ids of a container.
type isolation struct {
	runtime        string
	users, cgroups bool   // namespaces
	uid            uint32 // inside
	rootless       bool   // made by user 1000, who is root and the only user inside
}

// host is the id that the container's user has outside.
func (i isolation) host() int {
	switch {
	case i.rootless:
		return 1000
	case i.users:
		return int(100000 + i.uid)
	}
	return int(i.uid)
}

// bundle makes a container with busybox that has dir at /view and runs args.
func (i isolation) bundle(t *testing.T, dir, cgroupsPath string, args []string, env ...string) string {
	t.Helper()
	bundle := t.TempDir()
	for p := bundle; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		os.Chmod(p, 0o755) // the reader is not root
	}
	for _, dir := range []string{"bin", "proc", "dev", "tmp", "view"} {
		os.MkdirAll(bundle+"/rootfs/"+dir, 0o755)
	}
	if out, err := exec.Command("sh", "-ec", installBusybox,
		bundle+"/rootfs").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type object = map[string]any
	namespaces := []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	linux := object{}
	if i.users {
		namespaces = append(namespaces, object{"type": "user"})
		ids := []object{{"containerID": 0, "hostID": 100000, "size": 65536}}
		if i.rootless {
			ids = []object{{"containerID": 0, "hostID": 1000, "size": 1}}
		}
		linux["uidMappings"], linux["gidMappings"] = ids, ids
	}
	if !i.rootless {
		linux["cgroupsPath"] = cgroupsPath
	}
	if i.cgroups {
		namespaces = append(namespaces, object{"type": "cgroup"})
	}
	linux["namespaces"] = namespaces
	config, err := json.Marshal(object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": i.uid, "gid": i.uid},
			"args": args,
			"env":  append(env, "PATH=/bin"),
			"cwd":  "/",
		},
		"root": object{"path": "rootfs", "readonly": true},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
				"options": []string{"nosuid", "mode=755"}},
			{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
				"options": []string{"nosuid", "mode=1777"}},
			{"destination": "/view", "type": "bind", "source": dir,
				"options": []string{"rbind", "ro", "nosuid", "nodev", "noexec"}},
		},
		"linux": linux,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle+"/config.json", config, 0o644); err != nil {
		t.Fatal(err)
	}
	return bundle
}

// letGo takes the mounts of other tests out of a shell's new mount namespace. They wait for their mounts to
// end, and a copy keeps one alive. The mount that has $VIEW stays.
const letGo = `
	umount -l $(findmnt -rno TARGET -t fuse.bpfviewfs | grep -vxF "$(findmnt -rno TARGET -T ${VIEW:-/})") 2>/dev/null
`

// command runs the bundle's container, which has dir at /view. crun wants a machine with cgroup2 alone.
func (i isolation) command(bundle, dir string) *exec.Cmd {
	run := i.runtime
	if i.rootless {
		run = "setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=$STATE " + run
		if i.runtime == "crun" {
			run += " --cgroup-manager=disabled"
		}
	}
	cmd := exec.Command("unshare", "-m", "sh", "-c", letGo+`
		umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
		mkdir $STATE && chown 1000:1000 $STATE && exec `+run+` --root $STATE run test`)
	cmd.Dir = bundle
	cmd.Env = append(os.Environ(), "STATE="+bundle+"/state", "VIEW="+dir)
	return cmd
}

// TestContainers binds a cgroup's directory into containers, which see that cgroup and no other.
func TestContainers(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "busybox", "runc", "crun")
	dir := mountDir(t, "cgroup2")
	os.Chmod(filepath.Dir(dir), 0o755)
	var cases []isolation
	for _, runtime := range []string{"runc", "crun"} {
		for _, users := range []bool{false, true} {
			for _, cgroups := range []bool{false, true} {
				for _, uid := range []uint32{0, 1000} {
					cases = append(cases, isolation{runtime, users, cgroups, uid, false})
				}
			}
		}
		cases = append(cases, isolation{runtime, true, true, 0, true})
	}
	for _, i := range cases {
		t.Run(fmt.Sprintf("%+v", i), func(t *testing.T) { i.test(t, dir) })
	}
}

func (i isolation) test(t *testing.T, dir string) {
	parent := newCgroup(t, dir)
	shown, foreign := parent.child("shown"), parent.child("foreign")
	if err := os.Chown(shown.path, i.host(), i.host()); err != nil {
		t.Fatal(err)
	}
	inside := shown.run(exec.Command("unshare", "--pid", "--fork", "--kill-child", "sleep", "1000"))
	outside := foreign.run(exec.Command("sleep", "1000"))
	eventually(t, "the process has a child", func() bool {
		return strings.Contains(read(t, shown.mirror+"/tasks"), " sleep\n")
	})

	path := "/" + filepath.Base(parent.path) + "/container"
	bundle := i.bundle(t, shown.mirror, path, []string{"sh", "-c", inContainer}, "FOREIGN=foreign",
		fmt.Sprintf("ID=%d", inode(t, foreign.path)))
	cmd := i.command(bundle, shown.mirror)
	stdin, stdout := ktest.Pipes(t, cmd)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()

	var text strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "removed?" {
		fmt.Fprintln(&text, lines.Text())
	}
	said := text.String()
	rows := 0
	for line := range strings.Lines(said) {
		if f := strings.Fields(line); len(f) == 10 && f[2] == fmt.Sprint(inside.Process.Pid) &&
			f[3] == "1" && f[9] == "sleep" {
			rows++
		}
	}
	if rows != 1 || !strings.Contains(said, "tasks     ") ||
		!strings.Contains(said, "Read-only file system") {
		t.Errorf("it does not see its cgroup:\n%s", said)
	}
	if stacks := strings.Contains(said, "reads stacks"); stacks != (i.host() == 0) {
		t.Errorf("reads kernel stacks: %v", stacks)
	}
	for _, bad := range []string{"cannot read", "leads out", "foreign",
		fmt.Sprintf(" %d ", outside.Process.Pid)} {
		if strings.Contains(said, bad) {
			t.Errorf("it says %q:\n%s", bad, said)
		}
	}

	inside.Process.Kill()
	inside.Wait()
	shown.remove()
	fmt.Fprintln(stdin)
	rest, _ := io.ReadAll(stdout)
	if s := string(rest); strings.Count(s, "No such file or directory") != 2 ||
		!strings.HasSuffix(s, "gone\n") {
		t.Errorf("when its cgroup is gone:\n%s", s)
	}
}
