package iter

import (
	"sync"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
)

// The views' flavour for trees loads on every kernel that finds cgroups by their ids.
func TestTreesAreFast(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	for _, name := range []string{"cpu", "memory", "psi", "tasks"} {
		if name == "memory" && views[name] == nil {
			continue // the controller is on another hierarchy
		}
		// The program of tasks needs younger functions than its flavour.
		if views[name].job.Program(runs.PerTree) == nil &&
			views["tasks"].job.Program(runs.PerCgroup) != nil {
			_, err := readObject(t, name).Load(nil, nil, name+"___tree")
			t.Errorf("%s has no flavour for trees: %+v", name, err)
		}
	}
}

// Trees that are read at one time never mix.
func TestParallelTrees(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	type side struct {
		id    uint64
		paths map[string]uint64
	}
	var sides []side
	for i := range 2 {
		top := testTree(t, h, 40+50*i)
		sides = append(sides, side{ktest.CgroupID(t, top), walkDir(t, top)})
	}
	mustTree(t, views["cpu"], records.JSON, sides[0].id) // loads the program that lists cgroups
	before := ktest.Descriptors(t)
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			s := sides[n%2]
			for range 50 {
				lines := treeLines(t, mustTree(t, views["cpu"], records.JSON, s.id))
				for _, l := range lines {
					if s.paths[l.Cgroup] != l.ID {
						t.Errorf("%q has id %d, not %d",
							l.Cgroup, l.ID, s.paths[l.Cgroup])
					}
				}
				if len(lines) != len(s.paths) {
					t.Errorf("%d cgroups, not %d", len(lines), len(s.paths))
				}
			}
		})
	}
	wg.Wait()
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
