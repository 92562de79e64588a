package iter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Rounds of mkdir, every view, rmdir leave no cgroup behind, and no descriptor.
func TestNothingIsHeld(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	parent := testCgroup(t, h.String(), "bpfviewfs-test-*")
	below := testHierarchy(t, parent) // its descriptor must not hold anything either
	round := func() {
		dir := filepath.Join(parent, "child")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		id := cgroupID(t, dir)
		for _, v := range views {
			for _, v := range flavours(t, v) {
				mustRun(t, v, id)
			}
			mustTree(t, v, v.TreeFormats()[0], cgroupID(t, parent))
		}
		if _, err := below.Child(below.Root(), "child"); err != nil {
			t.Fatal(err)
		}
		if err := below.Children(id, func(uint64, string) {}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	round()
	before := descriptors(t)
	for range 200 {
		round()
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	stat := filepath.Join(parent, "cgroup.stat")
	for deadline := time.Now().Add(20 * time.Second); fileValue(t, stat, "nr_dying_descendants") > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d cgroups are still dying", fileValue(t, stat, "nr_dying_descendants"))
		}
	}
}

// A hierarchy's own top may be removed too.
func TestTopIsNotHeld(t *testing.T) {
	h := testHierarchy(t, "")
	parent := testCgroup(t, h.String(), "bpfviewfs-test-*")
	top := filepath.Join(parent, "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	below := testHierarchy(t, top)
	if err := os.Remove(top); err != nil {
		t.Fatal(err)
	}
	stat := filepath.Join(parent, "cgroup.stat")
	for deadline := time.Now().Add(20 * time.Second); fileValue(t, stat, "nr_dying_descendants") > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the descriptor of the top keeps it dying")
		}
	}
	_, err := below.Stat(below.Root())
	checkErrno(t, "stat of the top", err, unix.ENOENT)
}
