package server

import (
	"errors"
	"strings"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func TestUnmountBusy(t *testing.T) {
	m := serve(t, mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial)))
	fd, err := mounttest.Open(m.at("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if got := mounttest.Line(t, m.dir); got != "" {
		t.Errorf("still mounted: %s", got)
	}
	if !strings.Contains(m.log.String(), "busy: detached") {
		t.Errorf("log: %s", m.log)
	}
	if got, err := mounttest.Drain(fd); string(got) != mounttest.Trivial || err != nil {
		t.Errorf("an open file of a detached mount: %q, %v", got, err)
	}
	unix.Close(fd)
	if err := m.end(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A later mount of another process at the target must stay.
func TestUnmountLeavesOthers(t *testing.T) {
	m := serve(t, mounttest.NewFS())
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
	old := serve(t, mounttest.NewFS())
	if err := old.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := old.end(t); err != nil {
		t.Fatal(err)
	}
	next := serve(t, mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial)))
	old.Conn.at.Found(next.Conn.at.Info())
	if old.Conn.at.Mounted() {
		t.Error("another's mount is taken for the one that has ended")
	}
	for _, end := range []func() error{old.Conn.at.Abort, old.Unmount} {
		if err := end(); err != nil {
			t.Error(err)
		}
		if got := mounttest.Slurp(t, next.at("hello")); got != mounttest.Trivial {
			t.Errorf("read %q", got)
		}
	}
}
