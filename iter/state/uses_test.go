package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mounts are two mounts of a registry that use a view.
func mounts(t *testing.T) (dir string, a, b *Uses) {
	t.Helper()
	registry := t.TempDir()
	dir = filepath.Join(registry, "view")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a, b = new(Uses), new(Uses)
	for _, u := range []*Uses{a, b} {
		if err := u.Open(registry); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Close)
		if err := u.Use("view"); err != nil {
			t.Fatal(err)
		}
	}
	return dir, a, b
}

func remove(t *testing.T, u *Uses, dir string) (removed bool) {
	t.Helper()
	u.End()
	if err := u.Remove(dir); err != nil {
		t.Error(err)
	}
	_, err := os.Stat(dir)
	return os.IsNotExist(err)
}

// TestEndBesideServer ends a mount just before the server of another one does.
func TestEndBesideServer(t *testing.T) {
	dir, a, b := mounts(t)
	server, err := Lock(dir, unix.LOCK_SH)
	if err != nil {
		t.Fatal(err)
	}
	if remove(t, a, dir) {
		t.Fatal("the state of a server is removed")
	}
	server.Close()
	if !remove(t, b, dir) {
		t.Error("the state is left, because the mark of the first mount was")
	}
}

// TestEndAtOnce ends a mount while another one that ends is about to find its mark.
func TestEndAtOnce(t *testing.T) {
	dir, a, b := mounts(t)
	a.Drop("view")
	lock, err := Lock(dir, unix.LOCK_EX) // of the other mount, which has seen the mark
	if err != nil {
		t.Fatal(err)
	}
	removed := make(chan bool, 1)
	go func() { removed <- remove(t, b, dir) }()
	for a.usedByOthers("view") && len(removed) == 0 { // until b has dropped its mark
		time.Sleep(time.Millisecond)
	}
	lock.Close()
	if !<-removed {
		t.Error("each mount leaves the state to the other")
	}
}
