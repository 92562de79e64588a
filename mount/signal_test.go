package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestSignalTwice sends the second signal while the first one's unmount is under way, as timeout(1) does.
func TestSignalTwice(t *testing.T) {
	testenv.NeedsRoot(t)
	for i := range 12 {
		dir := mounttest.TempDir(t)
		pid := background(t, dir, "src", dir)
		unix.Kill(pid, unix.SIGTERM)
		time.Sleep(time.Duration(i) * 100 * time.Microsecond)
		unix.Kill(pid, unix.SIGTERM)
		vanishes(t, pid)
		if got := mounttest.Line(t, dir); got != "" {
			t.Errorf("left mounted: %s", got)
		}
	}
}

func TestSignalFromTimeout(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	cmd := child("main", "src", dir, "--foreground")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limited := exec.Command("timeout", append([]string{"1", self}, cmd.Args[1:]...)...)
	limited.Env = cmd.Env
	// timeout exits with 124 when the time is up, and does not pass on the command's status.
	if out, code := run(t, limited); code != 124 || mounttest.Line(t, dir) != "" {
		t.Errorf("exit code %d: %s; mounted: %q", code, out, mounttest.Line(t, dir))
	}
}

// TestSignalAtAnyTime checks that a signal leaves no dead mount, at any moment of the start, or while the
// keeper runs a new program in its place.
func TestSignalAtAnyTime(t *testing.T) {
	testenv.NeedsRoot(t)
	step := 1
	if testing.Short() {
		step = 5 // a race detector makes every process end a second late
	}
	for i := 0; i < 20; i += step {
		dir := mounttest.TempDir(t)
		mounttest.UnmountAfter(t, dir)
		cmd := child("main", "src", dir, "--foreground")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond)
		cmd.Process.Signal(unix.SIGTERM)
		mounttest.Exits(t, cmd)
		if got := mounttest.Line(t, dir); got != "" {
			t.Errorf("after %d ms: left mounted: %s", 2*i, got)
		}
	}
	for i := 0; i < 20; i += step {
		dir := mounttest.TempDir(t)
		pid := background(t, dir, "src", dir)
		replaced := make(chan struct{})
		go func() {
			defer close(replaced)
			ReloadKeeper(dir) // fails if the signal is first
		}()
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		unix.Kill(pid, unix.SIGTERM)
		vanishes(t, pid)
		unmounts(t, dir)
		<-replaced
	}
}

// TestGuard has the new program die of a signal that comes before it could receive one.
func TestGuard(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	t.Setenv(dieVar, "TERM")
	pid := background(t, dir, "src", dir)
	if err := ReloadKeeper(dir); err == nil {
		t.Error("it lives")
	}
	vanishes(t, pid)
	unmounts(t, dir)
}

// TestGuardEnds checks that nothing of a guard is left once the new program runs.
func TestGuardEnds(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	pid := background(t, dir, "src", dir)
	proc := fmt.Sprintf("/proc/%d", pid)
	fds := 0
	for i := range 3 {
		if err := ReloadKeeper(dir); err != nil {
			t.Fatal(err)
		}
		var children []byte
		mounttest.Eventually(t, func() bool {
			children, _ = os.ReadFile(proc + "/task/" + filepath.Base(proc) + "/children")
			return len(bytes.Fields(children)) == 1
		}, func() string { return fmt.Sprintf("children besides the server: %s", children) })
		mounttest.Slurp(t, filepath.Join(dir, "hello")) // the server serves
		count := func() int {
			list, _ := os.ReadDir(proc + "/fd")
			return len(list)
		}
		if i == 0 {
			fds = count()
		}
		mounttest.Eventually(t, func() bool { return count() <= fds },
			func() string { return fmt.Sprintf("descriptors: %d, then %d", fds, count()) })
	}
	unix.Kill(pid, unix.SIGTERM)
	vanishes(t, pid)
	unmounts(t, dir)
}

// unmounts waits for the end of a mount.
func unmounts(t *testing.T, dir string) {
	t.Helper()
	mounttest.Eventually(t, func() bool { return mounttest.Line(t, dir) == "" }, func() string { return "left mounted: " + mounttest.Line(t, dir) })
}

// TestSignalEndsCopies checks that a copy of the mount in another mount namespace ends with the keeper.
func TestSignalEndsCopies(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	pid := background(t, dir, "src", dir)
	other := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 1000")
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})
	out.Read(make([]byte, 10))
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	copied := fmt.Sprintf("/proc/%d/root%s", other.Process.Pid, dir)
	if got := mounttest.Slurp(t, filepath.Join(copied, "hello")); got != mounttest.Trivial {
		t.Errorf("the copy: %q", got)
	}
	unix.Kill(pid, unix.SIGTERM)
	vanishes(t, pid)
	if err := unix.Access(copied, unix.R_OK); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("the copy after the keeper's end: %v", err)
	}
}

// TestStuckThread: a thread of the server waits in the kernel and cannot be killed. The keeper still ends in
// a bounded time.
func TestStuckThread(t *testing.T) {
	if testing.Short() {
		return // a quarter of a minute
	}
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	never := mounttest.Direct("never", "")
	never.Open = func(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
		asked <- struct{}{}
		<-answer
		return fuse.EIO
	}
	hung := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, hung)
	other, err := stock(mounttest.NewFS(never), hung)
	if err != nil {
		t.Fatal(err)
	}
	go other.Serve()
	defer close(answer)
	dir := mounttest.TempDir(t)
	t.Setenv(stuckVar, filepath.Join(hung, "never"))
	pid := background(t, dir, "src", dir)
	reader := exec.Command("cat", filepath.Join(dir, "stuck"))
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	start := time.Now()
	unix.Kill(pid, unix.SIGTERM)
	vanishes(t, pid)
	if took := time.Since(start); took < endLimit {
		t.Errorf("it ended after %v: nothing was stuck", took)
	}
	if err := reader.Wait(); err == nil {
		t.Error("the reader got what nobody answered")
	}
	if got := mounttest.Line(t, dir); got != "" {
		t.Errorf("left mounted: %s", got)
	}
}
