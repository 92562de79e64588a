package place

import (
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// For the kernel, the path of a mount that was detached in the same moment is "/". A mount there would be
// wrong.
func TestPlaceWhileMountsComeAndGo(t *testing.T) {
	testenv.NeedsRoot(t)
	mounttest.Leaks(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
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
	if path, err := prepare("/"); err == nil || exit.Code(err) != exit.Usage {
		t.Errorf("%q, %v", path, err)
	}
}
