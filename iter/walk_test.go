package iter

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// walking is a copy of a view that walks in the smallest pieces, or nil where the kernel refuses the program.
func walking(t testing.TB, v *View, tasks *View) *View {
	t.Helper()
	small := *v
	job, done := v.job.InPieces()
	t.Cleanup(done)
	small.job = job
	if err := job.Walks(); err != nil {
		// The view tasks needs functions that are younger than what a walk needs.
		if tasks.job.Program(runs.PerCgroup) != nil {
			t.Fatalf("this kernel refuses the walk of %s: %+v", v.Name(), err)
		}
		return nil
	}
	return &small
}

// walkingCPU is walking for the view cpu of a test's hierarchy.
func walkingCPU(t testing.TB) (*cgroups.Hierarchy, *View) {
	t.Helper()
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	return h, walking(t, views["cpu"], views["tasks"])
}

// A walk shows of each cgroup the same as its file.
func TestWalkShowsTheSame(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	top := testTree(t, h, 250)
	ktest.Helper{Cgroup: filepath.Join(top, "parent-0", "child 1"), Children: 2}.Start(t)
	for _, name := range []string{"cpu", "memory", "psi", "tasks"} {
		if name == "memory" && views[name] == nil {
			continue // the controller is on another hierarchy
		}
		v := walking(t, views[name], views["tasks"])
		if v == nil {
			return
		}
		each := *v
		each.job = v.job.Without(runs.InWalk, runs.PerTree)
		var walked, single string
		for range 100 { // numbers that may go on between the two
			walked = string(mustTree(t, v, records.JSON, ktest.CgroupID(t, top)))
			single = string(mustTree(t, &each, records.JSON, ktest.CgroupID(t, top)))
			if walked == single {
				break
			}
		}
		if walked != single {
			t.Errorf("%s: a walk shows\n%s\none cgroup after the other\n%s", name, walked, single)
		}
	}
}

// While others are removed and made, between two pieces and within one, a walk shows each cgroup that stays
// once.
func TestWalkWhileCgroupsVanish(t *testing.T) {
	h, v := walkingCPU(t)
	if v == nil {
		return
	}
	top := testTree(t, h, 250)
	stay := walkDir(t, top)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	defer wg.Wait()
	defer close(stop)
	for n := range 2 {
		wg.Go(func() { comeAndGo(top, n, stop) })
	}
	for range 60 {
		seen := make(map[string]int)
		for _, l := range treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top))) {
			seen[l.Cgroup]++
			if id, ok := stay[l.Cgroup]; ok && id != l.ID || !ok &&
				!strings.Contains(l.Cgroup, "comes and goes") {
				t.Fatalf("%q has id %d, not %d", l.Cgroup, l.ID, id)
			}
		}
		for path := range stay {
			if seen[path] != 1 {
				t.Fatalf("%q is shown %d times", path, seen[path])
			}
		}
	}
}

// A walk uses what the one before it has left in memory, and no more. Here the last name lies first behind
// those of two others, then the names of a shorter walk are written over it, then it would lie there again.
func TestWalkAfterOthers(t *testing.T) {
	h, v := walkingCPU(t)
	if v == nil {
		return
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	parent := ktest.Cgroup(t, top, "c")
	for _, name := range []string{"last0", "last1"} {
		ktest.Cgroup(t, top, name)
	}
	one, two := filepath.Join(parent, "new"), filepath.Join(parent, "new", "er")
	for _, others := range [][]string{{}, {one, two}, {one}, {one, two}, {}} {
		for _, dir := range others {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		want := walkDir(t, top)
		got := make(map[string]uint64)
		for _, l := range treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top))) {
			got[l.Cgroup] = l.ID
		}
		if !maps.Equal(got, want) {
			t.Errorf("%+q, want %+q", slices.Sorted(maps.Keys(got)),
				slices.Sorted(maps.Keys(want)))
		}
		for _, dir := range slices.Backward(others) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// comeAndGo makes and removes cgroups in all of a tree, with one below each.
func comeAndGo(top string, n int, stop chan struct{}) {
	parents := []string{"", "parent-0", "parent-1", "parent-2"}
	dir := func(i int) string {
		return filepath.Join(top, parents[i%4], fmt.Sprintf("comes and goes %d %d", n, i%40))
	}
	remove := func(i int) {
		os.Remove(filepath.Join(dir(i), "below"))
		os.Remove(dir(i))
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			for i := range 40 {
				remove(i)
			}
			return
		default:
		}
		if unix.Mkdir(dir(i), 0o755) == nil {
			unix.Mkdir(filepath.Join(dir(i), "below"), 0o755)
		} else {
			remove(i)
		}
	}
}

// Below the depth that a walk keeps in mind, the tree is read another way, whole.
func TestWalkOfDeepTree(t *testing.T) {
	h, v := walkingCPU(t)
	if v == nil {
		return
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	dir := top
	for range 100 {
		dir = ktest.Cgroup(t, dir, "d")
	}
	lines := treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top)))
	if len(lines) != 101 || lines[100].Cgroup != strings.Repeat("d/", 99)+"d" {
		t.Errorf("%d cgroups, the last %+v", len(lines), lines[len(lines)-1])
	}
}

// Built-in views are walked on every kernel with the functions for that. The verifier would refuse the
// others, because reclaim's records leave too little of the stack, and the rest give functions of the kernel
// the cgroup.
func TestWalkOfBuiltinViews(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "runqlat", "reclaim")
	if walking(t, views["psi"], views["tasks"]) == nil {
		return
	}
	walked := []string{"cpu", "memory", "psi", "runqlat", "tasks"}
	for name, v := range views {
		if v.job.Program(runs.PerTree) == nil {
			continue // it is for no tree
		}
		if err := v.job.Walks(); (err == nil) != slices.Contains(walked, name) {
			t.Errorf("%s: it is to be walked: %t: %+v", name, slices.Contains(walked, name), err)
		}
		// bpftool and libbpf load all programs of an object, or none.
		if has := readObject(t, name).Walk() != ""; has != slices.Contains(walked, name) {
			t.Errorf("%s: its object has a walk: %t", name, has)
		}
	}
}

// TestTreesRunViewsThatSleep counts the runs of views' programs for one cgroup while trees are read. Only
// one that sleeps can flush statistics, so only that is run.
func TestTreesRunViewsThatSleep(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	id := ktest.CgroupID(t, ktest.Cgroup(t, h.String(), "bpfviewfs-test-*"))
	for name, sleeps := range map[string]bool{"cpu": true, "tasks": false, "psi": false} {
		v := views[name]
		count := func(w runs.Way) uint64 {
			s, err := v.job.Program(w).Stats()
			if err != nil {
				t.Fatal(err)
			}
			return s.RunCount
		}
		linked, called := count(runs.PerCgroup), count(runs.PerCall)
		mustTree(t, v, records.Text, id)
		if ran := count(runs.PerCall) > called; ran != sleeps {
			t.Errorf("%s was run for the topmost cgroup: %v, want %v", name, ran, sleeps)
		}
		if count(runs.PerCgroup) != linked {
			t.Errorf("%s was linked to the topmost cgroup, which takes cgroup_mutex", name)
		}
	}
}
