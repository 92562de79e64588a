package cgroups

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// A hierarchy's own top may be removed too.
func TestTopIsNotHeld(t *testing.T) {
	h := open(t, "")
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	top := filepath.Join(parent, "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	below := open(t, top)
	if err := os.Remove(top); err != nil {
		t.Fatal(err)
	}
	stat := filepath.Join(parent, "cgroup.stat")
	deadline := time.Now().Add(time.Minute)
	for ; ktest.Value(t, stat, "nr_dying_descendants") > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the descriptor of the top keeps it dying")
		}
	}
	_, err := below.Stat(below.Root())
	ktest.Errno(t, "stat of the top", err, unix.ENOENT)
}
