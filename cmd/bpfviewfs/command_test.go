package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// call runs the built command and gives its exit code and its output.
func call(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), errs.String()
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}

// TestBadInput gives the command bad input. It must refuse with one line that names the cause and mount(8)'s
// exit code, and mount nothing.
func TestBadInput(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o644)
	for _, tt := range []struct {
		args string // words; DIR and FILE are replaced
		code int
		want string // part of the line
	}{
		{"cgroup2 DIR -o colour=red", 1, "colour=red"},
		{"cgroup2 DIR -o ro -o nofail,foo", 1, "foo"},
		{"cgroup2 DIR -o uid", 1, "uid"},
		{"cgroup2 DIR -o uid=", 1, "uid"},
		{"cgroup2 DIR -o uid=nosuchuser", 1, "nosuchuser"},
		{"mount.fuse.bpfviewfs DIR", 1, "mount.fuse.bpfviewfs"},
		{"cgroup2 DIR -o mode=0999", 1, "0999"},
		{"cgroup2 DIR -o mode=07777", 1, "07777"},
		{"cgroup2 DIR -o max_run=0", 1, "max_run"},
		{"cgroup2 DIR -o", 1, "-o"},
		{"cgroup2", 1, "cgroup2"},
		{"cgroup2 DIR -o remount,ro", 32, "is mounted there"},
		{"cgroup2 DIR -o remount,mode=0444", 32, "is mounted there"},
		{"cgroup2 DIR/missing", 32, "missing"},
		{"cgroup2 FILE", 32, "not a directory"},
		{"DIR DIR", 32, "cgroup"},
		{"/nonexistent DIR", 32, "/nonexistent"},
		{"/proc DIR", 32, "cgroup"},
		{"mount DIR -o colour=red", 1, "colour=red"},
		{"mount DIR DIR DIR", 1, "the form is bpfviewfs mount [SOURCE]"},
		{"mount", 1, "the form is"},
		{"mount --log-format xml DIR", 1, "xml"},
		{"views --log-format xml", 1, "text or json"},
		{"--log-level trace mount DIR", 1, "trace"},
		{"version --log-level verbose", 1, "verbose"},
		{"mount DIR -o enable=a,b", 1, "enable=NAME:b"},
		{"umont DIR", 1, "did you mean mount or umount?"},
		{"nosuch DIR", 1, "help"},
		{"unmount DIR", 32, "DIR"},
		{"umount DIR", 32, "DIR"},
		{"umount /proc", 32, "/proc"},
		{"cat --source cgroup2 nothing /", 1, "nothing"},
		{"cat --source cgroup2 tasks nothing", 3, "nothing"},
		{"cat --source cgroup2 tasks ..", 3, ".."},
		{"cat tasks", 1, "cat: 1 word is too few: the form is bpfviewfs cat VIEW CGROUP"},
		{"cat", 1, "cat: 0 words are too few"},
		{"help nosuch", 1, `unknown command "nosuch"`},
		{"completion tcsh", 1, `it knows no "tcsh"`},
		{"cat --format xml tasks /", 1, "json"},
		{"cat --interval -1s tasks /", 1, "want a time above 0"},
		{"show --interval 0s", 1, "--interval is above 0"},
		{"cat --source cgroup2 --format json taskspb /", 4, "it writes encoded"},
		{"why DIR/x y", 1, "is a path"},
		{"check nothing.bpf.o", 2, "nothing"},
		{"nosuchcommand", 1, "nosuchcommand"},
		{"mount --nosuchflag DIR", 1, "nosuchflag"},
	} {
		args := strings.Fields(tt.args)
		for i, a := range args {
			args[i] = strings.NewReplacer("DIR", dir, "FILE", file).Replace(a)
		}
		tt.want = strings.ReplaceAll(tt.want, "DIR", dir)
		code, _, stderr := call(t, exec.Command(command, args...))
		if code != tt.code || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit %d, want %d: %q", tt.args, code, tt.code, stderr)
		}
		if strings.Contains(read(t, "/proc/self/mountinfo"), dir) {
			t.Fatalf("%s: something is mounted", tt.args)
		}
	}
}

// TestWithoutRights runs the command without the right to mount.
func TestWithoutRights(t *testing.T) {
	testenv.NeedsRoot(t)
	dir, err := os.MkdirTemp("/tmp", "bpfviewfs")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "bpfviewfs")
	if out, err := exec.Command("cp", command, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	os.Chmod(dir, 0o755)
	nobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"help"}, 0, ""},
		{[]string{"mount", "--help"}, 0, ""},
		{[]string{"cgroup2", dir}, 1, "root"},
		{[]string{"mount", dir}, 1, "root"},
		{[]string{"views"}, 5, "root"},
		{[]string{"cat", "--source", "cgroup2", "tasks", "/"}, 5, "root"},
	} {
		cmd := exec.Command(copied, tt.args...)
		cmd.SysProcAttr = nobody
		code, stdout, stderr := call(t, cmd)
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") > 1 ||
			code == 0 && stdout == "" {
			t.Errorf("%v as nobody: exit %d, want %d: %q", tt.args, code, tt.code, stderr)
		}
	}

	// Root without a capability, and without a device.
	// findmnt is in util-linux. Its setpriv changes the bounding set, unlike that of busybox.
	if !testenv.Has(t, "findmnt") {
		return
	}
	registry := newRegistry(t)
	for name, tt := range map[string]struct{ script, want string }{
		"no CAP_SYS_ADMIN": {"exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin $C cgroup2 $D -o registry=$R", "CAP_"},
		"no /dev/fuse":     {"mount -t tmpfs none /dev && mknod /dev/null c 1 3 && exec $C cgroup2 $D", "/dev/fuse"},
		"no BTF": {"mount -t tmpfs none /sys/kernel && exec $C cgroup2 $D -o registry=none",
			"BTF"},
		"no cgroup2": {`for m in $(grep -w cgroup2 /proc/mounts | cut -d' ' -f2); do umount -l $m; done; exec $C cgroup2 $D`, "cgroup2"},
	} {
		cmd := exec.Command("unshare", "-m", "sh", "-c", tt.script)
		cmd.Env = append(os.Environ(), "C="+command, "D="+dir, "R="+registry)
		code, _, stderr := call(t, cmd)
		if code == 0 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit %d: %q", name, code, stderr)
		}
	}
}

// TestSignals ends a server in the foreground, idle and with a file open.
func TestSignals(t *testing.T) {
	testenv.NeedsRoot(t)
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, busy := range []bool{false, true} {
			dir := t.TempDir()
			cmd := exec.Command(command, "mount", dir, "--foreground", "--log-format=json")
			var log strings.Builder
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "mounted", func() bool {
				_, err := os.Stat(dir + "/tasks")
				return err == nil
			})
			if busy {
				f, err := os.Open(dir + "/tasks")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
			cmd.Process.Signal(signal)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v busy %v: %v\n%s", signal, busy, err, log.String())
			}
			if strings.Contains(read(t, "/proc/self/mountinfo"), dir) {
				t.Errorf("%v busy %v: still mounted", signal, busy)
			}
			for line := range strings.Lines(log.String()) {
				if !strings.HasPrefix(line, "{") {
					t.Errorf("--log-format=json logs %q", line)
				}
			}
		}
	}
}

// TestSlowStart checks that a service manager is told of each view that is loaded, and to wait for the next.
func TestSlowStart(t *testing.T) {
	testenv.NeedsRoot(t)
	dir, socket := t.TempDir(), filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	manager.SetReadDeadline(time.Now().Add(mounttest.Hang))
	cmd := exec.Command(command, "mount", dir, "--foreground", "-o", "registry=none")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	var told []string
	for buf := make([]byte, 200); len(told) == 0 || !strings.HasPrefix(told[len(told)-1], "READY=1"); {
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, string(buf[:n]))
	}
	views, of := 0, 0
	for _, text := range told {
		var wait, number int
		var view string
		n, _ := fmt.Sscanf(text, "EXTEND_TIMEOUT_USEC=%d\nSTATUS=loading view %s (%d of %d)",
			&wait, &view, &number, &of)
		if n == 4 && wait > 60e6 {
			views++
		}
	}
	if views < 10 || views != of {
		t.Errorf("told of %d views of %d: %q", views, of, told)
	}
}

// TestStaleMount kills a server, which leaves a dead mount, and mounts again.
func TestStaleMount(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountDir(t, "cgroup2")
	server := serverOf(t, dir)
	unix.Kill(server, unix.SIGKILL)
	eventually(t, "the mount is dead", func() bool {
		_, err := os.Stat(dir + "/.bpfview")
		return errors.Is(err, unix.ENOTCONN)
	})
	if code, _, stderr := call(t, exec.Command(command, "cgroup2", dir)); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if n := strings.Count(read(t, "/proc/self/mountinfo"), " "+dir+" "); n != 1 {
		t.Errorf("%d mounts at the target", n)
	}
	read(t, dir+"/tasks")
}

// TestWithoutMount runs views from the command line.
func TestWithoutMount(t *testing.T) {
	testenv.NeedsRoot(t)
	c := newCgroup(t, "")
	cmd := c.run(exec.Command("sleep", "1000"))
	for _, path := range []string{c.path, filepath.Base(c.path), "/" + filepath.Base(c.path)} {
		code, stdout, stderr := call(t, exec.Command(command, "cat", "--source", "cgroup2",
			"tasks", path))
		if code != 0 || !strings.Contains(stdout, fmt.Sprint(cmd.Process.Pid)) {
			t.Errorf("cat tasks %s: exit %d: %s%s", path, code, stdout, stderr)
		}
	}
	code, stdout, stderr := call(t, exec.Command(command, "views"))
	for _, view := range []string{"cgroup", "cpu", "stacks", "tasks"} {
		if code != 0 || !strings.Contains(stdout, "\n"+view+" ") {
			t.Errorf("views: exit %d, no %s: %s%s", code, view, stdout, stderr)
		}
	}
	for _, ask := range []string{"version", "--version"} {
		if code, stdout, _ := call(t, exec.Command(command, ask)); code != 0 ||
			!strings.HasPrefix(stdout, "bpfviewfs ") {
			t.Errorf("%s: exit %d: %s", ask, code, stdout)
		}
	}
}
