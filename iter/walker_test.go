package iter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// The program that lists cgroups loads everywhere, and the views' flavour for trees wherever the kernel finds cgroups
// by their ids.
func TestTreesAreFast(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	if err := views["cpu"].set.lister.load(); err != nil {
		t.Fatalf("no program lists cgroups: %+v", err)
	}
	for _, name := range []string{"cpu", "memory", "psi", "tasks"} {
		// tasks' own program needs functions that are younger than those of the flavour.
		if views[name].tree == nil && views["tasks"].cgroup != nil {
			_, err := readObject(t, name).load(nil, nil, name+treeFlavour)
			t.Errorf("%s has no flavour for trees: %+v", name, err)
		}
	}
}

// A tree that is greater than the memory for its list is listed again, with more.
func TestWalkerGrows(t *testing.T) {
	h := testHierarchy(t, "")
	v := *testViews(t, h, Options{})["cpu"]
	spec, err := parseObjectOf(bpf.Objects, walkObject)
	if err != nil {
		t.Fatal(err)
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	for i := range 9 {
		ktest.Cgroup(t, top, strings.Repeat("n", 254)+fmt.Sprint(i))
	}
	for _, room := range []needed{{1, longestName}, {100, longestName}, {1, 100 * longestName}} {
		small, err := newWalker(spec, room)
		if err != nil {
			t.Fatal(err)
		}
		v.set = &Set{hierarchy: h, options: Options{}.withDefaults(), lister: lister{spec: spec, walker: small}}
		if lines := treeLines(t, mustTree(t, &v, records.JSON, ktest.CgroupID(t, top))); len(lines) != 10 || len(lines[9].Cgroup) != 255 {
			t.Errorf("room for %+v: %+v", room, lines)
		}
		v.set.lister.close()
	}
	// The memory for a giant list is given back when it was read.
	giant, err := newWalker(spec, needed{keepNodes + 1, firstNodes * nameRoom})
	if err != nil {
		t.Fatal(err)
	}
	v.set = &Set{hierarchy: h, options: Options{}.withDefaults(), lister: lister{spec: spec, walker: giant}}
	if lines := treeLines(t, mustTree(t, &v, records.JSON, ktest.CgroupID(t, top))); len(lines) != 10 || v.set.lister.walker != nil {
		t.Errorf("%d cgroups; the memory is kept: %t", len(lines), v.set.lister.walker != nil)
	}
}

// Of a walk that the kernel ends before its time, as it does after a million cgroups, no part is shown. It is the same to one that
// prints.
func TestInterruptedWalk(t *testing.T) {
	h := testHierarchy(t, "")
	v := *testViews(t, h, Options{})["cpu"]
	spec, err := parseObjectOf(bpf.Objects, walkObject)
	if err != nil {
		t.Fatal(err)
	}
	spec.Programs["walk"].Instructions = writing("walk", "cgroup", 40).Instructions
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Cgroup(t, top, "child")
	v.set = &Set{hierarchy: h, options: v.set.options, lister: lister{spec: spec}}
	defer v.set.lister.close()
	_, err = v.Tree(context.Background(), records.JSON, ktest.CgroupID(t, top), nil)
	ktest.Errno(t, "tree", err, unix.EFBIG)
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
	if err := views["cpu"].set.lister.load(); err != nil {
		t.Fatal(err)
	}
	before := ktest.Descriptors(t)
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			s := sides[n%2]
			for range 50 {
				lines := treeLines(t, mustTree(t, views["cpu"], records.JSON, s.id))
				for _, l := range lines {
					if s.paths[l.Cgroup] != l.ID {
						t.Errorf("%q has id %d, not %d", l.Cgroup, l.ID, s.paths[l.Cgroup])
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
