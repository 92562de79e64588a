package runs

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/trees"
	"golang.org/x/sys/unix"
)

// The program that lists cgroups loads everywhere.
func TestListerLoads(t *testing.T) {
	testenv.NeedsRoot(t)
	l := lister{objects: bpf.Objects}
	if err := l.load(); err != nil {
		t.Fatalf("no program lists cgroups: %+v", err)
	}
	l.close()
}

// listed lists a cgroup and all below it.
func listed(t *testing.T, l *lister, cgroup uint64) (*trees.Tree, error) {
	t.Helper()
	r := &run{ctx: context.Background(), deadline: time.Now().Add(time.Minute), limit: 1 << 20}
	ok, err := l.list(r, cgroup)
	if !ok && err == nil {
		t.Fatal("this kernel lists no cgroups")
	}
	return &r.output.Tree, err
}

// A tree that is greater than the memory for its list is listed again, with more.
func TestWalkerGrows(t *testing.T) {
	h := testHierarchy(t)
	spec, err := parseObjectOf(bpf.Objects, walkObject)
	if err != nil {
		t.Fatal(err)
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, top)
	want := map[uint64]bool{id: true}
	for i := range 9 {
		want[ktest.CgroupID(t, ktest.Cgroup(t, top, strings.Repeat("n", 254)+fmt.Sprint(i)))] = true
	}
	check := func(room needed, tree *trees.Tree, err error) {
		t.Helper()
		if err != nil || tree.Len() != len(want) || tree.Cgroup(0) != id {
			t.Fatalf("room for %+v: %d cgroups of %d, %v", room, tree.Len(), len(want), err)
		}
		for i := range tree.Len() {
			if !want[tree.Cgroup(i)] {
				t.Errorf("room for %+v: cgroup %d", room, tree.Cgroup(i))
			}
		}
	}
	for _, room := range []needed{{1, longestName}, {100, longestName}, {1, 100 * longestName}} {
		small, err := newWalker(spec, room)
		if err != nil {
			t.Fatal(err)
		}
		l := lister{spec: spec, walker: small}
		tree, err := listed(t, &l, id)
		check(room, tree, err)
		l.close()
	}
	// The memory for a giant list is given back when it was read.
	room := needed{keepCgroups + 1, firstCgroups * nameRoom}
	giant, err := newWalker(spec, room)
	if err != nil {
		t.Fatal(err)
	}
	l := lister{spec: spec, walker: giant}
	tree, err := listed(t, &l, id)
	check(room, tree, err)
	if l.walker != nil {
		t.Error("the memory is kept")
	}
}

// If the kernel ends a walk early, as it does after a million cgroups, no part of it is shown. The kernel
// does the same to a program that prints.
func TestInterruptedWalk(t *testing.T) {
	h := testHierarchy(t)
	spec, err := parseObjectOf(bpf.Objects, walkObject)
	if err != nil {
		t.Fatal(err)
	}
	spec.Programs["walk"].Instructions = ktest.Writing("walk", "cgroup", 40).Instructions
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Cgroup(t, top, "child")
	l := lister{spec: spec}
	defer l.close()
	_, err = listed(t, &l, ktest.CgroupID(t, top))
	ktest.Errno(t, "list", err, unix.EFBIG)
}
