package runs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/trees"
	"github.com/cilium/ebpf"
)

// Memory grows with the tree and with the names. It is given back after a giant tree.
func TestWalkGrows(t *testing.T) {
	h := testHierarchy(t)
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	for i := range 9 {
		ktest.Cgroup(t, top, strings.Repeat("n", 254)+fmt.Sprint(i))
	}
	for _, room := range []listRoom{
		{1, longestName}, {100, longestName}, {1, 100 * longestName}, {keepCgroups + 1, 1 << 20},
	} {
		l := lister{objects: bpf.Objects, inWalk: newWalk("list", loadList(bpf.Objects))}
		l.inWalk.room = room
		if err := l.inWalk.load(time.Minute); err != nil {
			old := lister{objects: bpf.Objects}
			if !errors.Is(err, errNoWalk) || old.load() != nil {
				t.Fatal(err, l.inWalk.refused)
			}
			old.close()
			return // before v6.4
		}
		tree, err := listed(t, &l, ktest.CgroupID(t, top))
		if err != nil || tree.Len() != 10 {
			t.Errorf("room for %+v: %d cgroups of 10, %v", room, tree.Len(), err)
		}
		l.inWalk.endGiant()
		if kept := l.inWalk.loaded != nil; kept != (room.cgroups <= keepCgroups) {
			t.Errorf("room for %+v: the memory is kept: %t", room, kept)
		}
		l.close()
		l.inWalk.end()
	}
}

// TestWalkExpects holds that the first tree loads its program once, however many cgroups it has.
func TestWalkExpects(t *testing.T) {
	h := testHierarchy(t)
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	const many = 600
	for i := range many {
		ktest.Cgroup(t, top, fmt.Sprint(i))
	}
	loads := 0
	w := newWalk("list", func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
		loads++
		return loadList(bpf.Objects)(set)
	})
	defer w.end()
	r := &run{ctx: t.Context(), hierarchy: h, deadline: time.Now().Add(time.Minute), limit: 1 << 20}
	err := w.fill(ktest.CgroupID(t, top), r)
	if errors.Is(err, errNoWalk) && (&lister{objects: bpf.Objects}).load() == nil {
		return // before v6.4
	}
	if err != nil || r.output.Len() != many+1 || loads != 1 {
		t.Errorf("%d loads, %d cgroups of %d, %v", loads, r.output.Len(), many+1, err)
	}
}

// TestWalkLoadsLong checks that a tree is read another way while its program is being loaded, and that the
// program is used from then on.
func TestWalkLoadsLong(t *testing.T) {
	h := testHierarchy(t)
	top := ktest.CgroupID(t, ktest.Cgroup(t, h.String(), "bpfviewfs-test-*"))
	verified := make(chan struct{})
	l := lister{objects: bpf.Objects}
	defer l.close()
	l.inWalk = newWalk("list", func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
		<-verified
		return loadList(bpf.Objects)(set)
	})
	defer l.inWalk.end()
	l.inWalk.patience = 0
	list := func() (cgroups int) {
		t.Helper()
		r := &run{ctx: t.Context(), hierarchy: h, deadline: time.Now().Add(time.Minute), limit: 1 << 20}
		if ok, err := l.list(r, top); !ok || err != nil {
			t.Fatal(ok, err)
		}
		return r.output.Len()
	}
	for range 2 {
		if n := list(); n != 1 || l.walker == nil {
			t.Errorf("while the program is loaded: %d cgroups, not 1", n)
		}
	}
	close(verified)
	if err := l.inWalk.load(time.Minute); errors.Is(err, errNoWalk) && l.inWalk.refused != nil {
		return // before v6.4
	} else if err != nil {
		t.Fatal(err)
	}
	l.close()
	if n := list(); n != 1 || l.walker != nil {
		t.Errorf("with the program: %d cgroups, not 1, or listed another way", n)
	}
}

// TestWalkKeepsList holds that the tree of a list is made once while the list stays the same, and again after
// each change.
func TestWalkKeepsList(t *testing.T) {
	h := testHierarchy(t)
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	w := newWalk("list", loadList(bpf.Objects))
	defer w.end()
	list := func(path string) (tree *trees.Tree, names string) {
		t.Helper()
		r := &run{ctx: t.Context(), hierarchy: h, deadline: time.Now().Add(time.Minute), limit: 1 << 20}
		if err := w.fill(ktest.CgroupID(t, path), r); err != nil {
			t.Fatal(err)
		}
		for i := range r.output.Len() {
			names += fmt.Sprint(r.output.Cgroup(i), " ")
		}
		return w.tree, names
	}
	if err := w.load(time.Minute); errors.Is(err, errNoWalk) && (&lister{objects: bpf.Objects}).load() == nil {
		return // before v6.4
	}
	want := func(paths ...string) (ids string) {
		for _, path := range paths {
			ids += fmt.Sprint(ktest.CgroupID(t, path), " ")
		}
		return ids
	}
	a := ktest.Cgroup(t, top, "a")
	b := ktest.Cgroup(t, top, "b")
	first, ids := list(top)
	if w := want(top, a, b); ids != w {
		t.Errorf("cgroups %s, not %s", ids, w)
	}
	if again, _ := list(top); again != first {
		t.Error("a list that stays the same is made a tree again")
	}
	if _, ids := list(b); ids != want(b) {
		t.Errorf("cgroups %s, not %s", ids, want(b))
	}
	if _, ids := list(top); ids != want(top, a, b) {
		t.Errorf("cgroups %s after those of another top, not %s", ids, want(top, a, b))
	}
	if err := errors.Join(os.Remove(b), os.Mkdir(b, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, ids := list(top); ids != want(top, a, b) {
		t.Errorf("cgroups %s after a new one of an old name, not %s", ids, want(top, a, b))
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	if _, ids := list(top); ids != want(top, a) {
		t.Errorf("cgroups %s after one has gone, not %s", ids, want(top, a))
	}
}
