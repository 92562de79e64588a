package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bpfviewfs/internal/testenv"
)

// boot makes a systemd of its own process 1, in namespaces and a cgroup of its own. It has no units but those
// in $UNITS and of the fstab there.
const boot = `
	mount --make-rprivate /` + letGo + `
	umount -l /sys/fs/cgroup
	mount -t cgroup2 cgroup2 /sys/fs/cgroup &&
	mount -t proc proc /proc &&
	mount -t tmpfs -o mode=755 tmpfs /run &&
	mount -t overlay -o lowerdir=$SBIN:/sbin none /sbin &&
	mount --bind $UNITS/fstab /etc/fstab &&
	mount --make-rshared / &&
	exec env -i container=test PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH=$UNITS:/run/systemd/generator \
		/lib/systemd/systemd --system --unit=boot.target --log-target=console --log-level=notice --show-status=no`

const fstab = `
cgroup2 /run/local fuse.bpfviewfs nofail,noatime,mode=0444 0 0
cgroup2 /run/auto fuse.bpfviewfs nofail,x-systemd.automount,x-systemd.requires=bpfviewfs.service 0 0
`

// machine is where a systemd runs.
type machine struct {
	t    *testing.T
	init int // process id of systemd
}

// bootMachine installs with make install, and boots.
func bootMachine(t *testing.T) *machine {
	t.Helper()
	root := t.TempDir()
	makeInstall(t, "install", "PREFIX="+root, "SBINDIR="+root+"/sbin")
	units := root + "/lib/systemd/system/"
	for _, target := range []string{"boot", "sysinit", "basic", "local-fs", "multi-user",
		"shutdown", "umount"} {
		if err := os.WriteFile(units+target+".target",
			[]byte("[Unit]\nDefaultDependencies=no\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(units+"fstab", []byte(fstab), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCgroup(t, "")
	t.Cleanup(c.removeChildren)
	unshare := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--uts",
		"--ipc", "sh", "-c", boot)
	unshare.Env = append(os.Environ(), "UNITS="+units, "SBIN="+root+"/sbin")
	var log strings.Builder
	unshare.Stdout, unshare.Stderr = &log, &log
	c.run(unshare)
	t.Cleanup(func() {
		if t.Failed() {
			unshare.Process.Kill()
			unshare.Wait()
			t.Logf("systemd says:\n%s", log.String())
		}
	})
	m := &machine{t: t}
	eventually(t, "systemd runs", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", unshare.Process.Pid))
		_, err := fmt.Sscan(string(children), &m.init)
		return err == nil && m.try("systemctl", "is-active", "boot.target") == nil
	})
	m.must("systemd-tmpfiles", "--create", root+"/lib/tmpfiles.d/bpfviewfs.conf")
	return m
}

// removeChildren removes the cgroups that systemd made below the cgroup, when its processes have ended.
func (c *cgroup) removeChildren() {
	c.t.Helper()
	eventually(c.t, "its cgroups are removed", func() bool {
		var dirs []string
		filepath.WalkDir(c.path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && path != c.path {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := range dirs {
			unix.Rmdir(dirs[len(dirs)-1-i])
		}
		return len(dirs) == 0
	})
}

func (m *machine) command(words ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", fmt.Sprint(m.init), "-m", "-p"}, words...)...)
}

func (m *machine) try(words ...string) error { return m.command(words...).Run() }

func (m *machine) must(words ...string) string {
	m.t.Helper()
	out, err := m.command(words...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%v: %v\n%s", words, err, out)
	}
	return strings.TrimSpace(string(out))
}

// mounts counts the mounts of bpfviewfs that are seen outside the units.
func (m *machine) mounts() int {
	m.t.Helper()
	return strings.Count(m.must("cat", "/proc/self/mountinfo"),
		" /run/bpfview ro,nosuid,nodev,noexec,relatime shared:")
}

func (m *machine) readable() bool { return m.reads("/run/bpfview") }

func (m *machine) reads(dir string) bool { return m.try("grep", "-q", "COMM", dir+"/tasks") == nil }

// holdOpen has a process keep a file open until the machine ends.
func (m *machine) holdOpen(path string) {
	m.t.Helper()
	holder := m.command("sh", "-c", "exec 3<$0 && echo open && exec sleep 1000 >/dev/null", path)
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		m.t.Fatalf("open %s: %q %v", path, line, err)
	}
	m.t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
}

// TestSystemd runs the units under a real systemd, and looks at the mount from outside of them.
func TestSystemd(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "/lib/systemd/systemd")
	m := bootMachine(t)

	m.must("systemctl", "start", "bpfviewfs.service")
	if n := m.mounts(); n != 1 || !m.readable() {
		t.Fatalf("the service has started, and %d mounts are seen", n)
	}
	text := m.must("cat", "/run/bpfview/system.slice/bpfviewfs.service/tasks")
	if !strings.Contains(text, "bpfviewfs") {
		t.Errorf("the service's own tasks:\n%s", text)
	}
	for line := range strings.Lines(m.must("cat", "/run/bpfview/.bpfview/views")) {
		if strings.Contains(line, " absent ") && !strings.Contains(line, "cgroup v1 hierarchy") {
			t.Errorf("with the rights that the unit leaves: %s", line)
		}
	}
	m.must("systemctl", "reload", "bpfviewfs.service")
	if n := m.mounts(); n != 1 || !m.readable() {
		t.Errorf("after a reload: %d mounts", n)
	}

	device := func() string { return m.must("stat", "-c", "%d", "/run/bpfview") }
	main, was := m.must("systemctl", "show", "-P", "MainPID", "bpfviewfs.service"), device()
	m.must("kill", "-KILL", main)
	eventually(t, "it is restarted after its death", func() bool {
		return m.must("systemctl", "show", "-P", "MainPID", "bpfviewfs.service") != main &&
			m.try("systemctl", "is-active", "bpfviewfs.service") == nil
	})
	if n := m.mounts(); n != 1 || !m.readable() {
		t.Errorf("after the main process's death: %d mounts", n)
	}
	if now := device(); now != was {
		t.Errorf("the mount has not outlived the main process: its device is %s, and was %s",
			now, was)
	}
	m.must("systemctl", "restart", "bpfviewfs.service")
	if n := m.mounts(); n != 1 || !m.readable() {
		t.Errorf("after a restart: %d mounts", n)
	}
	m.holdOpen("/run/bpfview/tasks")
	m.must("systemctl", "stop", "bpfviewfs.service")
	if n, state := m.mounts(), m.must("systemctl", "show", "-P", "Result", "bpfviewfs.service"); n != 0 ||
		state != "success" {
		t.Errorf("stopped, with %s, and there are %d mounts", state, n)
	}

	m.must("systemctl", "start", "run-bpfview.mount")
	if !m.readable() {
		t.Error("the mount unit has started, and nothing can be read")
	}
	m.must("systemctl", "stop", "run-bpfview.mount")
	m.must("systemctl", "start", "run-bpfview.automount")
	if n := m.mounts(); n != 0 {
		t.Errorf("%d mounts before anybody looks", n)
	}
	if !m.readable() || m.mounts() != 1 {
		t.Error("the automount unit does not mount")
	}
	m.must("systemctl", "stop", "run-bpfview.automount", "run-bpfview.mount")
	if n := m.mounts(); n != 0 {
		t.Errorf("stopped, and there are %d mounts", n)
	}

	m.must("systemctl", "start", "local-fs.target")
	for _, dir := range []string{"/run/local", "/run/auto"} {
		// Nothing waits for it because of nofail.
		eventually(t, dir+", which is in fstab, is mounted", func() bool {
			return m.reads(dir) && strings.Contains(m.must("cat", "/proc/self/mountinfo"),
				" / "+dir+" ro,")
		})
	}
	if m.try("systemctl", "is-active", "bpfviewfs.service") != nil {
		t.Error("x-systemd.requires= has not started the service")
	}
	m.must("systemctl", "stop", "run-local.mount", "run-auto.automount", "run-auto.mount",
		"bpfviewfs.service")
	if text := m.must("cat", "/proc/self/mountinfo"); strings.Contains(text, "fuse.bpfviewfs") {
		t.Errorf("all stopped, and mounted is:\n%s", text)
	}
}
