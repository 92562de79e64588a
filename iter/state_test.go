package iter

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+sources.ObjectSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// loadTestdata loads testdata/NAME.bpf.o after change has changed it, with its state in dir.
func loadTestdata(t *testing.T, h *cgroups.Hierarchy, name, dir string,
	change func(*ebpf.CollectionSpec)) (*View, error) {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(testdata(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	change(spec)
	o, err := newObject(spec, name)
	if err != nil {
		t.Fatal(err)
	}
	v := &View{name: name, life: newLife(), set: testSet(t, h, Options{}), stateDir: dir}
	return v, v.loadObject(o, kernelTypes)
}

var kernelTypes = btf.NewCache()

func same(*ebpf.CollectionSpec) {}

func mustLoad(t *testing.T, h *cgroups.Hierarchy, name, dir string, change func(*ebpf.CollectionSpec)) *View {
	t.Helper()
	v, err := loadTestdata(t, h, name, dir, change)
	if err != nil {
		t.Fatalf("%+v", &loadError{name, err})
	}
	t.Cleanup(func() { v.close() })
	return v
}

// checkCount fails unless the view has counted want names in the cgroup.
func checkCount(t *testing.T, v *View, cgroup string, want int) {
	t.Helper()
	out := mustRun(t, v, ktest.CgroupID(t, cgroup))
	fields := strings.Fields(out)
	if len(fields) != 2 || fields[1] != strconv.Itoa(want) {
		t.Errorf("%s: %q, want %d", filepath.Base(cgroup), out, want)
	}
}

func TestStateIsPerCgroup(t *testing.T) {
	h := testHierarchy(t, "")
	for _, dir := range []string{"", filepath.Join(ktest.BPFFS(t), "state", "renames")} {
		v := mustLoad(t, h, "renames", dir, same)
		parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
		for n, name := range []string{"none", "one", "two"} {
			cgroup := ktest.Cgroup(t, parent, name)
			begin, wait := ktest.Renamer(t, cgroup)
			begin(n * 1000)
			wait()
		}
		checkCount(t, v, parent, 0)
		checkCount(t, v, filepath.Join(parent, "none"), 0)
		checkCount(t, v, filepath.Join(parent, "one"), 1000)
		checkCount(t, v, filepath.Join(parent, "two"), 2000)
	}
}

// No event is lost or counted twice while objects replace each other, the same and changed ones. The same
// holds while no set shows them.
func TestReloadLosesNoEvent(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "renames")
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	changed := func(spec *ebpf.CollectionSpec) { delete(spec.Programs, "renamed_rmdir") }
	v := mustLoad(t, h, "renames", dir, same)
	const events, pieces = 1_000_000, 20
	for i := range pieces {
		begin(events / pieces)
		change := same
		if i%2 == 1 {
			change = changed
		}
		next := mustLoad(t, h, "renames", dir, change)
		if err := v.close(); err != nil {
			t.Fatal(err)
		}
		v = next
		wait()
	}
	checkCount(t, v, cgroup, events)

	if err := v.close(); err != nil {
		t.Fatal(err)
	}
	begin(500)
	wait()
	v = mustLoad(t, h, "renames", dir, same)
	checkCount(t, v, cgroup, events+500)
}

// Two mounts that start at one time, with nothing pinned yet, count in the same maps.
func TestLoadedByTwoAtOnce(t *testing.T) {
	h := testHierarchy(t, "")
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	dir := filepath.Join(ktest.BPFFS(t), "state", "renames")
	for range 10 {
		var views [2]*View
		var errs [2]error
		var wg sync.WaitGroup
		for i := range views {
			wg.Go(func() { views[i], errs[i] = loadTestdata(t, h, "renames", dir, same) })
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		begin(10)
		wait()
		for _, v := range views {
			checkCount(t, v, cgroup, 10)
			if err := v.close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := new(state.Uses).Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// An object with a map of another type starts that map anew, and leaves nothing of the old one.
func TestChangedMapStartsAnew(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "renames")
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	mustLoad(t, h, "renames", dir, same)
	begin(10)
	wait()
	before := names(t, dir)
	v := mustLoad(t, h, "renames", dir, func(spec *ebpf.CollectionSpec) {
		spec.Maps["renamed"].MaxEntries = 100
	})
	checkCount(t, v, cgroup, 0)
	begin(20)
	wait()
	checkCount(t, v, cgroup, 20)
	after := names(t, dir)
	if len(after) != len(before) || strings.Join(after, " ") == strings.Join(before, " ") {
		t.Errorf("pins %q, then %q", before, after)
	}
	// With one program less its link goes.
	v = mustLoad(t, h, "renames", dir, func(spec *ebpf.CollectionSpec) {
		spec.Maps["renamed"].MaxEntries = 100
		delete(spec.Programs, "count")
	})
	begin(30)
	wait()
	checkCount(t, v, cgroup, 20)
	if last := names(t, dir); len(last) != len(after)-2 {
		t.Errorf("pins %q, then %q", after, last)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStateGoesWithItsCgroup(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "renames")
	mustLoad(t, h, "renames", dir, same)
	cgroup, err := os.MkdirTemp(h.String(), "bpfviewfs-test-*")
	if err != nil {
		t.Fatal(err)
	}
	id := ktest.CgroupID(t, cgroup)
	t.Run("events", func(t *testing.T) { // the renamer ends with it
		begin, wait := ktest.Renamer(t, cgroup)
		begin(1)
		wait()
	})
	var renamed *ebpf.Map
	for _, name := range names(t, dir) {
		if strings.HasPrefix(name, "map_renamed_") {
			if renamed, err = ebpf.LoadPinnedMap(filepath.Join(dir, name), nil); err != nil {
				t.Fatal(err)
			}
			defer renamed.Close()
		}
	}
	var count uint64
	if err := renamed.Lookup(id, &count); err != nil || count != 1 {
		t.Errorf("count %d, %v", count, err)
	}
	ktest.RemoveCgroup(t, cgroup)
	if err := renamed.Lookup(id, &count); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("count %d, %v after the cgroup was removed", count, err)
	}
}

// attachedPrograms gives the ids of the programs that the links pinned in dir have attached.
func attachedPrograms(t *testing.T, dir string) (ids []ebpf.ProgramID) {
	t.Helper()
	for _, name := range names(t, dir) {
		if !strings.HasPrefix(name, "link_") || strings.HasSuffix(name, "_slot") {
			continue
		}
		l, err := link.LoadPinnedLink(filepath.Join(dir, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		info, err := l.Info()
		if err := errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.Program)
	}
	return ids
}

// checkGone waits for programs to be unloaded, which the kernel does a while after they are detached.
func checkGone(t *testing.T, ids []ebpf.ProgramID) {
	t.Helper()
	for _, id := range ids {
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			p, err := ebpf.NewProgramFromID(id)
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			p.Close()
			if time.Now().After(deadline) {
				t.Fatalf("program %d is still loaded", id)
			}
		}
	}
}

func TestForgottenStateIsDetached(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "renames")
	v := mustLoad(t, h, "renames", dir, same)
	ids := attachedPrograms(t, dir)
	if len(ids) != 2 {
		t.Errorf("attached: %v", ids)
	}
	if err := errors.Join(v.close(), new(state.Uses).Remove(dir)); err != nil {
		t.Fatal(err)
	}
	checkGone(t, ids)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}

// A program that cannot be attached leaves none attached, and an earlier object of the view as it was.
func TestBadAttachLeavesNothing(t *testing.T) {
	h := testHierarchy(t, "")
	dir := filepath.Join(ktest.BPFFS(t), "renames")
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	bad := func(spec *ebpf.CollectionSpec) {
		good := spec.Programs["count"].Copy()
		good.Name = "more" // before the bad one
		spec.Programs["more"] = good
		spec.Programs["nowhere"] = &ebpf.ProgramSpec{
			Name: "nowhere", Type: ebpf.RawTracepoint, SectionName: "raw_tp/no_such_event",
			AttachTo: "no_such_event",
			License:  "GPL", Instructions: good.Instructions[len(good.Instructions)-2:],
		}
	}
	var errno unix.Errno
	for _, where := range []string{"", dir} {
		_, err := loadTestdata(t, h, "renames", where, bad)
		if !errors.As(err, &errno) || !strings.Contains(err.Error(), "no_such_event") {
			t.Errorf("%v", err)
		}
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	v := mustLoad(t, h, "renames", dir, same)
	before := names(t, dir)
	begin(10)
	wait()
	if _, err := loadTestdata(t, h, "renames", dir, bad); err == nil {
		t.Error("no error")
	}
	begin(10)
	wait()
	checkCount(t, v, cgroup, 20)
	if after := names(t, dir); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("pins %q, then %q", before, after)
	}
}
