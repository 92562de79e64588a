package mount

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

// run runs a child to its end, and waits until no process holds its standard streams.
func run(tb testing.TB, cmd *exec.Cmd) (output string, code int) {
	tb.Helper()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// background mounts dir with a process in the background and returns its pid.
func background(t *testing.T, dir string, args ...string) (pid int) {
	t.Helper()
	mounttest.UnmountAfter(t, dir)
	cmd := child("main", args...)
	cmd.Dir = filepath.Dir(dir)
	if out, code := run(t, cmd); code != exit.OK || out != "" {
		t.Fatalf("exit code %d: %s", code, out)
	}
	pid, err := strconv.Atoi(mounttest.Slurp(t, filepath.Join(dir, "pid")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// vanishes waits for the end of a process that is no child of the test. Whoever reaps it may be late. A
// process that runs a new program has not ended.
func vanishes(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	mounttest.Eventually(t, func() bool {
		n, _ := unix.Poll(fds, 0)
		return n > 0
	}, func() string { return fmt.Sprintf("process %d does not end", pid) })
}

func TestBackground(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	pid := background(t, dir, "src", filepath.Base(dir), "-o", "rw,nofail") // a relative path
	if got := mounttest.Slurp(t, filepath.Join(dir, "hello")); got != mounttest.Trivial {
		t.Errorf("read %q", got)
	}
	if sid, err := unix.Getsid(pid); sid != pid {
		t.Errorf("session %d, %v; want its own, %d", sid, err, pid)
	}
	for what, want := range map[string]string{"cwd": "/", "fd/0": os.DevNull, "fd/1": os.DevNull, "fd/2": os.DevNull} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, what)); got != want {
			t.Errorf("%s leads to %q, %v; want %q", what, got, err, want)
		}
	}
	if out, code := run(t, child("main", "src", dir)); code != exit.Mount || !strings.Contains(out, "mounted there already") || strings.Count(out, "\n") != 1 {
		t.Errorf("a second mount: exit code %d: %s", code, out)
	}
	if _, err := place.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	vanishes(t, pid)
}

func TestBackgroundFailures(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	for _, c := range []struct {
		cmd  *exec.Cmd
		code int
		says string
	}{
		{child("main", "src", filepath.Join(dir, "missing")), exit.Mount, "create the directory first"},
		{child("main", "src", dir, "-o", "nosuch"), exit.Usage, `unknown option "nosuch"`},
		{child("die"), exit.System, "ended before it was ready: exit status 7"},
	} {
		out, code := run(t, c.cmd)
		if code != c.code || !strings.Contains(out, c.says) || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q; want %d and one line with %q", c.cmd.Args[1:], code, out, c.code, c.says)
		}
	}
	if got := mounttest.Line(t, dir); got != "" {
		t.Errorf("left mounted: %s", got)
	}
}

func TestSignals(t *testing.T) {
	testenv.NeedsRoot(t)
	for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		for _, how := range []string{"idle", "busy"} {
			dir := mounttest.TempDir(t)
			pid := background(t, dir, "src", dir)
			fd := -1
			if how == "busy" {
				var err error
				if fd, err = mounttest.Open(filepath.Join(dir, "hello")); err != nil {
					t.Fatal(err)
				}
			}
			unix.Kill(pid, sig)
			vanishes(t, pid)
			if got := mounttest.Line(t, dir); got != "" {
				t.Errorf("%v, %s: left mounted: %s", sig, how, got)
			}
			unix.Close(fd)
		}
	}
}

func TestSignalInForeground(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	socket := filepath.Join(mounttest.TempDir(t), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	manager.SetReadDeadline(time.Now().Add(mounttest.Hang))
	cmd := child("main", "src", dir, "--foreground")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var waits []string
	told := func() string {
		for buf := make([]byte, 100); ; {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			switch text := string(buf[:n]); {
			case strings.HasPrefix(text, "EXTEND_TIMEOUT_USEC="):
				waits = append(waits, text)
			case !strings.HasPrefix(text, "FDSTORE"):
				return text
			}
		}
	}
	if text := told(); text != isReady {
		t.Fatalf("the manager is told %q", text)
	}
	wait := "EXTEND_TIMEOUT_USEC=90000000\nSTATUS=loading view hello (1 of 1)"
	if !slices.Contains(waits, wait) {
		t.Errorf("the manager is told to wait: %q; want %q as well", waits, wait)
	}
	if got := mounttest.Slurp(t, filepath.Join(dir, "hello")); got != mounttest.Trivial {
		t.Errorf("read %q", got)
	}
	cmd.Process.Signal(unix.SIGTERM)
	if text := told(); text != "STOPPING=1" {
		t.Errorf("the manager is told %q", text)
	}
	if err := mounttest.Exits(t, cmd); err != nil || mounttest.Line(t, dir) != "" {
		t.Errorf("%v; mounted: %q", err, mounttest.Line(t, dir))
	}
}

func TestOutcome(t *testing.T) {
	for _, err := range []error{nil, errors.New("plain"), exit.With(exit.Usage, errors.New("no such option")), errors.Join(errors.New("a"), errors.New("b"))} {
		line := formatOutcome(err)
		if strings.Count(line, "\n") != 1 {
			t.Errorf("%q is not a line", line)
		}
		got := parseOutcome(line)
		if exit.Code(got) != exit.Code(err) || (err == nil) != (got == nil) {
			t.Errorf("%v: handed on as %v", err, got)
		}
	}
	if err := parseOutcome("gibberish\n"); exit.Code(err) != exit.System {
		t.Errorf("%v", err)
	}
}
