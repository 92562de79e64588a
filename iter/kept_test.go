package iter

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
)

// cpuSet opens the view cpu with a registry, "" for none.
func cpuSet(t *testing.T, h *cgroups.Hierarchy, registry string, readOnly bool) *Set {
	t.Helper()
	s, err := Open(h, Config{Builtin: bpf.Objects, Registry: registry, ReadOnly: readOnly, Only: []string{"cpu"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Views()[0].Err(); err != nil {
		t.Fatal(err)
	}
	return s
}

// keptID is the id of the one map of last answers that all programs of a set's view cpu use. The walk is looked
// for where it is pinned.
func keptID(t *testing.T, s *Set) ebpf.MapID {
	t.Helper()
	v := s.Views()[0]
	if _, err := v.Tree(t.Context(), records.Text, s.hierarchy.Root(), nil, nil); err != nil {
		t.Fatal(err)
	}
	programs := []*ebpf.Program{v.job.Program(runs.PerCgroup), v.job.Program(runs.PerTree)}
	if s.config.Registry != "" && v.job.Walks() == nil {
		walk, err := ebpf.LoadPinnedProgram(filepath.Join(s.config.Registry, "___walks/cpu/cpu___walk"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer walk.Close()
		programs = append(programs, walk)
	}
	var ids []ebpf.MapID
	for _, p := range programs {
		if p == nil {
			continue
		}
		m, err := links.Map(p, "cgroup_times")
		if err != nil || m == nil {
			t.Fatalf("%v has map %v, %v", p, m, err)
		}
		id, err := links.MapID(m)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		ids = append(ids, id)
	}
	if ids = slices.Compact(ids); len(ids) != 1 {
		t.Fatalf("the programs use maps %d", ids)
	}
	return ids[0]
}

// What views remember is not looked for in a directory that others can write, and the views are there.
func TestKeptMapsOfOthers(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	pinned := keptID(t, cpuSet(t, h, dir, false))
	if err := os.Chmod(filepath.Join(dir, "___maps"), 0o777); err != nil {
		t.Fatal(err)
	}
	s, err := Open(h, Config{Builtin: bpf.Objects, Registry: dir, Only: []string{"cpu"}, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.Views()[0]
	m, err := links.Map(v.job.Program(runs.PerCgroup), "cgroup_times")
	if err != nil || m == nil {
		t.Fatalf("map %v, %v, view %v", m, err, v.Err())
	}
	defer m.Close()
	if id, err := links.MapID(m); err != nil || id == pinned {
		t.Errorf("the map is %d, %v", id, err)
	}
}

// The last answers belong to the registry: all ways to run a view, all servers of it, and the next one, have the
// same.
func TestKeptMapsAreShared(t *testing.T) {
	h := testHierarchy(t, "")
	registry := filepath.Join(ktest.BPFFS(t), "views")
	first := cpuSet(t, h, registry, false)
	id := keptID(t, first)
	for _, readOnly := range []bool{false, true} {
		s := cpuSet(t, h, registry, readOnly)
		if other := keptID(t, s); other != id {
			t.Errorf("beside the set with map %d one has %d", id, other)
		}
		s.Close()
	}
	if other := keptID(t, cpuSet(t, h, "", false)); other == id {
		t.Errorf("a set without a registry has map %d of another one", id)
	}
	if err := first.Detach(); err != nil {
		t.Fatal(err)
	}
	second := cpuSet(t, h, registry, false)
	if other := keptID(t, second); other != id {
		t.Errorf("after the set with map %d one has %d", id, other)
	}
	second.Close()

	// If the pin is removed, the next set has another map, and no program with the old one.
	dir := filepath.Join(registry, "___maps")
	pins := names(t, dir)
	if len(pins) != 1 {
		t.Fatalf("pinned maps: %q", pins)
	}
	old, err := ebpf.LoadPinnedMap(filepath.Join(dir, pins[0]), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.Remove(filepath.Join(dir, pins[0])); err != nil {
		t.Fatal(err)
	}
	// The pin of a map that an earlier version declared in another way is removed.
	if err := old.Pin(filepath.Join(dir, "map_cgroup_times_0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	if other := keptID(t, cpuSet(t, h, registry, false)); other == id {
		t.Errorf("map %d is used, and its pin was removed", id)
	}
	if now := names(t, dir); !slices.Equal(now, pins) {
		t.Errorf("pinned maps: %q, not %q", now, pins)
	}
}

// A set keeps the entries of cgroups that live, and of those that were removed just now, and of no others.
func TestEntriesGoWithTheirCgroups(t *testing.T) {
	h := testHierarchy(t, "")
	s := cpuSet(t, h, "", false)
	var m *state.KeptMap
	for _, m = range s.kept {
	}
	if m == nil || !m.ByCgroup {
		t.Fatalf("the maps of cpu: %v", s.kept)
	}
	has := func(cgroup uint64) bool {
		entry, err := m.LookupBytes(cgroup)
		if err != nil {
			t.Fatal(err)
		}
		return entry != nil
	}
	used := func(name string) uint64 {
		dir := ktest.Cgroup(t, h.String(), name)
		ktest.Helper{Cgroup: dir}.Start(t)
		id := ktest.CgroupID(t, dir)
		mustRun(t, s.Views()[0], id)
		if !has(id) {
			t.Fatalf("%s has no entry", name)
		}
		return id
	}
	stays := used("bpfviewfs-test-*")
	gone := uint64(1<<40 - 1)
	of := uint64(7)<<state.HierarchyShift | gone // of a hierarchy of cgroup v1
	for _, id := range []uint64{gone, of} {
		if err := m.Put(id, make([]byte, m.ValueSize())); err != nil {
			t.Fatal(err)
		}
	}
	s.tidy()
	if !has(gone) || !has(stays) || !has(of) {
		t.Error("an entry is removed at once")
	}
	s.tidy()
	if has(gone) || !has(stays) || !has(of) {
		t.Errorf("removed: of a cgroup that is gone %t, of one that lives %t, of another hierarchy %t",
			!has(gone), !has(stays), !has(of))
	}
}
