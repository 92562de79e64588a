package mount

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func TestStaleMountIsCleared(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	server := spawn(t, "ours", dir)
	busy, err := mounttest.Open(filepath.Join(dir, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(busy)
	server.Process.Signal(unix.SIGKILL)
	server.Wait()
	// Not stat, which is answered from cached attributes even if the mount is dead.
	var st unix.Statfs_t
	mounttest.Eventually(t, func() bool { return errors.Is(unix.Statfs(dir, &st), unix.ENOTCONN) }, func() string { return "the mount does not die" })
	if at, err := place.Find(dir); err != nil || at.Target != dir {
		t.Errorf("Find of a dead mount: %+v, %v", at, err)
	}
	spawn(t, "ours", dir)
	if got := mounttest.Slurp(t, filepath.Join(dir, "hello")); got != mounttest.Trivial {
		t.Errorf("read %q", got)
	}
	if n := mounttest.Count(t, dir); n != 1 {
		t.Errorf("%d mounts at the target, want 1", n)
	}
}

func TestUmount(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	if _, err := place.Unmount(dir); !errors.Is(err, place.ErrNotMounted) {
		t.Errorf("nothing mounted: %v", err)
	}
	if _, err := place.Unmount(filepath.Join(dir, "missing")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no directory: %v", err)
	}
	for _, how := range []string{"idle", "busy", "dead", "dead and busy"} {
		server := spawn(t, "ours", dir)
		fd := -1
		if strings.Contains(how, "busy") {
			var err error
			if fd, err = mounttest.Open(filepath.Join(dir, "hello")); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(how, "dead") {
			server.Process.Signal(unix.SIGKILL)
			mounttest.Exits(t, server)
		}
		detached, err := place.Unmount(dir)
		if err != nil || mounttest.Line(t, dir) != "" {
			t.Errorf("%s: %v; mounted: %q", how, err, mounttest.Line(t, dir))
		}
		if detached != (fd >= 0) {
			t.Errorf("%s: detached: %t", how, detached)
		}
		unix.Close(fd)
		if !strings.Contains(how, "dead") {
			if err := mounttest.Exits(t, server); err != nil {
				t.Errorf("%s: the server: %v", how, err)
			}
		}
	}
}
