package mount

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The path of a mount that is detached in the same moment is "/" to the kernel. It must not be to us: we would mount
// there.
func TestPlaceWhileMountsComeAndGo(t *testing.T) {
	needRoot(t)
	leaks(t)
	dir := tempDir(t)
	unmountAfter(t, dir)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Mount("test", dir, "tmpfs", 0, ""); err != nil {
				t.Error(err)
				return
			}
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 5000 {
		p, err := openPlace(dir)
		if err != nil {
			t.Error(err)
			break
		}
		p.close()
		if p.path != dir {
			t.Errorf("%q leads to %q", dir, p.path)
			break
		}
	}
	close(stop)
	<-stopped
}

func TestNothingIsMountedOnTheRoot(t *testing.T) {
	if path, err := prepare("/"); err == nil || ExitCode(err) != ExitUsage {
		t.Errorf("%q, %v", path, err)
	}
}
