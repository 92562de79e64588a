package iter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
)

// Rounds of mkdir, every view, rmdir leave no cgroup behind, and no descriptor.
func TestNothingIsHeld(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	below := testHierarchy(t, parent) // its descriptor must not hold anything either
	round := func() {
		dir := filepath.Join(parent, "child")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		id := ktest.CgroupID(t, dir)
		for _, v := range views {
			for _, v := range flavours(t, v) {
				mustRun(t, v, id)
			}
			mustTree(t, v, v.TreeFormats()[0], ktest.CgroupID(t, parent))
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
	before := ktest.Descriptors(t)
	for range 200 {
		round()
	}
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	stat := filepath.Join(parent, "cgroup.stat")
	deadline := time.Now().Add(time.Minute)
	for ; ktest.Value(t, stat, "nr_dying_descendants") > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d cgroups are still dying", ktest.Value(t, stat, "nr_dying_descendants"))
		}
	}
}
