package iter

import (
	"errors"
	"path/filepath"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
)

// walkOf opens a set with the view cpu, as a server of a mount does. taken reports whether a walk of an
// earlier server fits an object, and gives it up.
func walkOf(t *testing.T, h *cgroups.Hierarchy, dir string) (s *Set, v *View,
	taken func(o *programs.Object) bool) {
	t.Helper()
	s, err := Open(h, Config{Builtin: bpf.Objects, Registry: dir, Only: []string{"cpu"}, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	v = s.Views()[0]
	return s, v, func(o *programs.Object) bool {
		t.Helper()
		fresh := errors.New("loaded anew")
		coll, err := v.kept.load(o, func() (*ebpf.Collection, error) { return nil, fresh })
		if err == nil {
			coll.Close()
		} else if err != fresh {
			t.Fatal(err)
		}
		v.kept.asked = false
		v.kept.lock.Close()
		return err == nil
	}
}

// TestWalksAreKept has one server after the other, and two at once, read a tree. The walk of the first one is
// used again, by one at a time.
func TestWalksAreKept(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	top := testTree(t, h, 20)
	dir := filepath.Join(ktest.BPFFS(t), "views")
	cgroup := ktest.CgroupID(t, top)
	paths := func(v *View) (all string) {
		t.Helper()
		for _, l := range treeLines(t, mustTree(t, v, records.JSON, cgroup)) {
			all += l.Cgroup + "\n"
		}
		return all
	}
	object := func() *programs.Object {
		t.Helper()
		o, err := programs.Parse(builtin(t, "cpu"), "cpu")
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	first, v, taken := walkOf(t, h, dir)
	if taken(object()) {
		t.Error("a walk is there before the first tree is read")
	}
	want := paths(v)
	first.Close()

	second, v, taken := walkOf(t, h, dir)
	if !taken(object()) {
		t.Error("the walk of the server before is not there")
	}
	large := object()
	large.Spec().Maps["view_cgroups"].MaxEntries = 1 << 20
	large.Spec().Maps["view_cgroups"].ValueSize = 1
	if taken(large) {
		t.Error("a walk with less room is used")
	}
	hash := v.kept.origin
	if v.kept.origin = programs.OriginOf("", "other", nil, nil); taken(object()) {
		t.Error("the walk of another object is used")
	}
	v.kept.origin = hash
	for range 3 {
		if got := paths(v); got != want {
			t.Errorf("in an earlier server's walk:\n%swant\n%s", got, want)
		}
	}
	third, other, taken := walkOf(t, h, dir)
	if taken(object()) {
		t.Error("two servers use the same walk")
	}
	if got := paths(other); got != want {
		t.Errorf("beside another server:\n%swant\n%s", got, want)
	}
	for _, s := range []*Set{second, third} {
		if err := s.Detach(); err != nil {
			t.Error(err)
		}
	}
	if exists((&registry{dir: dir}).walkDir("cpu")) {
		t.Error("the walk outlives its mounts")
	}
}
