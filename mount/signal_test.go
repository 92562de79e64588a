package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// TestSignalTwice sends the second signal while the first one's unmount is under way, as timeout(1) does.
func TestSignalTwice(t *testing.T) {
	testenv.NeedsRoot(t)
	for i := range 12 {
		dir := tempDir(t)
		pid := background(t, dir, "src", dir)
		unix.Kill(pid, unix.SIGTERM)
		time.Sleep(time.Duration(i) * 100 * time.Microsecond)
		unix.Kill(pid, unix.SIGTERM)
		vanishes(t, pid)
		if got := line(t, dir); got != "" {
			t.Errorf("left mounted: %s", got)
		}
	}
}

func TestSignalFromTimeout(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := tempDir(t)
	unmountAfter(t, dir)
	cmd := child("main", "src", dir, "--foreground")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limited := exec.Command("timeout", append([]string{"1", self}, cmd.Args[1:]...)...)
	limited.Env = cmd.Env
	// timeout exits with 124 when the time is up, and does not pass on the command's status.
	if out, code := run(t, limited); code != 124 || line(t, dir) != "" {
		t.Errorf("exit code %d: %s; mounted: %q", code, out, line(t, dir))
	}
}

// TestSignalAtAnyTime checks that a signal leaves no dead mount, at any moment of the start.
func TestSignalAtAnyTime(t *testing.T) {
	testenv.NeedsRoot(t)
	for i := range 20 {
		dir := tempDir(t)
		unmountAfter(t, dir)
		cmd := child("main", "src", dir, "--foreground")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond)
		cmd.Process.Signal(unix.SIGTERM)
		exits(t, cmd)
		if got := line(t, dir); got != "" {
			t.Errorf("after %d ms: left mounted: %s", 2*i, got)
		}
	}
}

// TestSignalEndsCopies checks that a copy of the mount in another mount namespace ends with the keeper.
func TestSignalEndsCopies(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := tempDir(t)
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
	if got := slurp(t, filepath.Join(copied, "hello")); got != trivial {
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
	never := direct("never", "")
	never.open = func(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
		asked <- struct{}{}
		<-answer
		return fuse.EIO
	}
	hung := tempDir(t)
	unmountAfter(t, hung)
	other, err := stock(newFS(never), hung)
	if err != nil {
		t.Fatal(err)
	}
	go other.Serve()
	defer close(answer)
	dir := tempDir(t)
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
	if got := line(t, dir); got != "" {
		t.Errorf("left mounted: %s", got)
	}
}
