package iter

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
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
		coll, err := v.walk.load(o, func() (*ebpf.Collection, error) { return nil, fresh })
		if err == nil {
			coll.Close()
		} else if err != fresh {
			t.Fatal(err)
		}
		return err == nil
	}
}

// pinnedID is the id of the program that is pinned as the walk of the view cpu, 0 if there is none.
func pinnedID(t *testing.T, dir string) ebpf.ProgramID {
	t.Helper()
	return ktest.PinnedID(t, filepath.Join(dir, "___walks/cpu/cpu___walk"))
}

// TestWalksArePinned has one server after the other, and two at once, read a tree. All of them use the walk
// of the first one.
func TestWalksArePinned(t *testing.T) {
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
	id := pinnedID(t, dir)
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
	hash := v.walk.origin
	if v.walk.origin = programs.OriginOf("", "other", nil, nil); taken(object()) {
		t.Error("the walk of another object is used")
	}
	v.walk.origin = hash
	for range 3 {
		if got := paths(v); got != want {
			t.Errorf("in an earlier server's walk:\n%swant\n%s", got, want)
		}
	}
	third, other, taken := walkOf(t, h, dir)
	if !taken(object()) {
		t.Error("a server loads a walk beside another server")
	}
	for range 3 {
		for _, v := range []*View{v, other} {
			if got := paths(v); got != want {
				t.Errorf("beside another server:\n%swant\n%s", got, want)
			}
		}
	}
	if now := pinnedID(t, dir); id == 0 || now != id {
		t.Errorf("program %d is pinned, and was %d", now, id)
	}
	if err := second.Detach(); err != nil {
		t.Error(err)
	}
	if pinnedID(t, dir) != id {
		t.Error("the end of a mount takes the walk of another one away")
	}
	if err := third.Detach(); err != nil {
		t.Error(err)
	}
	if exists((&registry{dir: dir}).walkDir("cpu")) {
		t.Error("the walk outlives its mounts")
	}
}

// TestWalkIsShared has two servers use one program at the same time, while cgroups come and go. Each tree has
// all cgroups that stay.
func TestWalkIsShared(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	top := testTree(t, h, 120)
	stay := walkDir(t, top)
	dir := filepath.Join(ktest.BPFFS(t), "views")
	trees := 40
	if testing.Short() {
		trees = 10
	}
	var readers, changes sync.WaitGroup
	stop := make(chan struct{})
	changes.Go(func() { comeAndGo(top, 0, stop) })
	cgroup := ktest.CgroupID(t, top)
	for range 2 {
		s, v, _ := walkOf(t, h, dir)
		defer s.Close()
		mustTree(t, v, records.JSON, cgroup) // not both at once, or each loads a program
		for range 2 {
			readers.Go(func() {
				for range trees {
					out, err := v.Tree(t.Context(), records.JSON, cgroup, nil, nil)
					if err != nil {
						t.Error(err)
						return
					}
					seen := make(map[string]int)
					for line := range bytes.Lines(out) {
						var l treeLine
						if err := json.Unmarshal(line, &l); err != nil {
							t.Error(err)
						}
						if id, stays := stay[l.Cgroup]; !stays || id == l.ID {
							seen[l.Cgroup]++
						}
					}
					for path := range stay {
						if seen[path] != 1 {
							t.Errorf("%q is shown %d times", path, seen[path])
							return
						}
					}
				}
			})
		}
	}
	readers.Wait()
	close(stop)
	changes.Wait()
}

// TestWalkInUse holds that a reader does not wait for a process that uses the walk for ever.
func TestWalkInUse(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	cgroup := ktest.CgroupID(t, testTree(t, h, 3))
	dir := filepath.Join(ktest.BPFFS(t), "views")
	s, v, taken := walkOf(t, h, dir)
	defer s.Close()
	mustTree(t, v, records.JSON, cgroup)
	other, err := os.Open(v.walk.path)
	if err == nil {
		err = unix.Flock(int(other.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	id := pinnedID(t, dir)
	for range 2 {
		if n := len(treeLines(t, mustTree(t, v, records.JSON, cgroup))); n != 4 {
			t.Errorf("%d cgroups, not 4", n)
		}
		if v.walk.dir != nil || pinnedID(t, dir) != id {
			t.Error("the program is not this process's alone")
		}
	}
	other.Close()
	o, err := programs.Parse(builtin(t, "cpu"), "cpu")
	if err != nil {
		t.Fatal(err)
	}
	if !taken(o) {
		t.Error("the next load does not try again")
	}
}

// TestWalkWithoutPins holds that trees are walked if nothing can be pinned, or if others may pin.
func TestWalkWithoutPins(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	cgroup := ktest.CgroupID(t, testTree(t, h, 3))
	for why, prepare := range map[string]func(bpffs, walks string) error{
		"a read-only bpffs": func(bpffs, _ string) error {
			return unix.Mount("", bpffs, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		},
		"a directory that all can write": func(_, walks string) error {
			return errors.Join(os.MkdirAll(walks, 0o700), os.Chmod(filepath.Dir(walks), 0o777))
		},
		"a directory of another user": func(_, walks string) error {
			return errors.Join(os.MkdirAll(walks, 0o700), os.Chown(walks, 65534, 0))
		},
	} {
		bpffs := ktest.BPFFS(t)
		dir := filepath.Join(bpffs, "views")
		s, v, _ := walkOf(t, h, dir)
		defer s.Close()
		if err := prepare(bpffs, v.walk.path); err != nil {
			t.Fatal(err)
		}
		if n := len(treeLines(t, mustTree(t, v, records.JSON, cgroup))); n != 4 || v.job.Walks() != nil {
			t.Errorf("%s: %d cgroups, not 4, or not walked: %v", why, n, v.job.Walks())
		}
		if v.walk.dir != nil || pinnedID(t, dir) != 0 {
			t.Errorf("%s: the walk is pinned", why)
		}
	}
}

// TestWalkOfRemovedView holds that a walk is unpinned with its view, though a run goes on, and that this run
// leaves none behind.
func TestWalkOfRemovedView(t *testing.T) {
	if _, v := walkingCPU(t); v == nil {
		return
	}
	h := testHierarchy(t, "")
	cgroup := ktest.CgroupID(t, testTree(t, h, 3))
	for _, before := range []bool{true, false} {
		views, dir := t.TempDir(), filepath.Join(ktest.BPFFS(t), "views")
		object := filepath.Join(views, "cpu.bpf.o")
		if err := os.WriteFile(object, builtin(t, "cpu"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := openSet(t, h, Config{Dirs: []string{views}, Registry: dir})
		v, err := find(t, s, "cpu").hold()
		if err != nil {
			t.Fatal(err)
		}
		if before {
			mustTree(t, v, records.JSON, cgroup)
			if pinnedID(t, dir) == 0 {
				t.Fatal("no walk is pinned")
			}
		}
		if err := os.Remove(object); err != nil {
			t.Fatal(err)
		}
		if changed, err := s.reload(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		for range 2 {
			if exists(v.walk.path) {
				t.Errorf("a tree was read before: %t: the walk of a removed view is pinned", before)
			}
			mustTree(t, v, records.JSON, cgroup)
		}
		v.drop()
	}
}

// TestCountsOfOthers holds that no view uses counts from a directory that others can write.
func TestCountsOfOthers(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "views")
	state := (&registry{dir: dir}).stateDir("runqlat")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.Chmod(state, 0o777)); err != nil {
		t.Fatal(err)
	}
	s := openSet(t, h, Config{Builtin: only(t, "runqlat"), Registry: dir, Enable: []string{"runqlat"}})
	ktest.Errno(t, "a state that all can write", find(t, s, "runqlat").Err(), unix.EPERM)
}
