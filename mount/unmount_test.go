package mount

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func TestUnmountBusy(t *testing.T) {
	m := serve(t, newFS(direct("hello", trivial)))
	fd, err := open(m.at("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if got := line(t, m.dir); got != "" {
		t.Errorf("still mounted: %s", got)
	}
	if !strings.Contains(m.log.String(), "busy: detached") {
		t.Errorf("log: %s", m.log)
	}
	if got, err := drainFD(fd); string(got) != trivial || err != nil {
		t.Errorf("an open file of a detached mount: %q, %v", got, err)
	}
	unix.Close(fd)
	if err := m.end(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A later mount of another process at the target must stay.
func TestUnmountLeavesOthers(t *testing.T) {
	m := serve(t, newFS())
	if err := unix.Mount("other", m.dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); err != nil {
		t.Error(err)
	}
	if _, err := place.Unmount(m.dir); !errors.Is(err, place.ErrNotMounted) {
		t.Errorf("Umount of a tmpfs: %v", err)
	}
	if err := unix.Unmount(m.dir, 0); err != nil {
		t.Errorf("the tmpfs is gone: %v", err)
	}
	if _, err := place.Find(m.dir); err != nil {
		t.Error(err)
	}
}

// The device number and mount id of an ended connection may belong to the next mount, at the same target.
func TestNumberOfAnother(t *testing.T) {
	old := serve(t, newFS())
	if err := old.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := old.end(t); err != nil {
		t.Fatal(err)
	}
	next := serve(t, newFS(direct("hello", trivial)))
	old.Conn.at.Found(next.Conn.at.Info())
	if old.Conn.at.Mounted() {
		t.Error("another's mount is taken for the one that has ended")
	}
	for _, end := range []func() error{old.Conn.at.Abort, old.Unmount} {
		if err := end(); err != nil {
			t.Error(err)
		}
		if got := slurp(t, next.at("hello")); got != trivial {
			t.Errorf("read %q", got)
		}
	}
}

func TestStaleMountIsCleared(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := tempDir(t)
	unmountAfter(t, dir)
	server := spawn(t, "ours", dir)
	busy, err := open(filepath.Join(dir, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(busy)
	server.Process.Signal(unix.SIGKILL)
	server.Wait()
	// Not stat, which is answered from cached attributes even if the mount is dead.
	var st unix.Statfs_t
	eventually(t, func() bool { return errors.Is(unix.Statfs(dir, &st), unix.ENOTCONN) }, func() string { return "the mount does not die" })
	if at, err := place.Find(dir); err != nil || at.Target != dir {
		t.Errorf("Find of a dead mount: %+v, %v", at, err)
	}
	spawn(t, "ours", dir)
	if got := slurp(t, filepath.Join(dir, "hello")); got != trivial {
		t.Errorf("read %q", got)
	}
	if list, err := place.List(); err != nil || count(list, dir) != 1 {
		t.Errorf("%d mounts at the target, want 1; %v", count(list, dir), err)
	}
}

func count(list []place.Info, dir string) (n int) {
	for _, at := range list {
		if at.Target == dir {
			n++
		}
	}
	return n
}

func TestUmount(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := tempDir(t)
	unmountAfter(t, dir)
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
			if fd, err = open(filepath.Join(dir, "hello")); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(how, "dead") {
			server.Process.Signal(unix.SIGKILL)
			exits(t, server)
		}
		detached, err := place.Unmount(dir)
		if err != nil || line(t, dir) != "" {
			t.Errorf("%s: %v; mounted: %q", how, err, line(t, dir))
		}
		if detached != (fd >= 0) {
			t.Errorf("%s: detached: %t", how, detached)
		}
		unix.Close(fd)
		if !strings.Contains(how, "dead") {
			if err := exits(t, server); err != nil {
				t.Errorf("%s: the server: %v", how, err)
			}
		}
	}
}
