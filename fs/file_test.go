package fs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/fs/told"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func TestOneRunAnOpenFile(t *testing.T) {
	m := newMount(t, Config{}, counting("v", func(n int) string { return strings.Repeat(fmt.Sprint(n), 10*n) }))
	f := m.open("v")
	for _, tt := range []struct {
		off  uint64
		want string
	}{
		{4, "111111"}, {0, "1111111111"}, {9, "1"}, {10, ""}, {1 << 62, ""}, // one run, from its first byte on
		{0, strings.Repeat("2", 20)}, {19, "2"}, {0, strings.Repeat("3", 30)}, // offset 0 again starts a new one
	} {
		if got, st := f.pread(tt.off, 100); got != tt.want || !st.Ok() {
			t.Errorf("at %d: %q %v, want %q", tt.off, got, st, tt.want)
		}
	}
	if f.size() != 30 {
		t.Errorf("size %d", f.size())
	}
	g := m.open("v")
	if got, _ := g.pread(0, 100); got != strings.Repeat("4", 40) || g.id != f.id {
		t.Errorf("a second open file of node %#x, beside one of %#x, read %q", g.id, f.id, got)
	}
	if got, _ := f.pread(1, 100); got != strings.Repeat("3", 29) {
		t.Errorf("the first open file then read %q", got)
	}
	f.close()
	g.close()
	if n := m.left(); n != 0 {
		t.Errorf("%d things left after the last close", n)
	}
}

// TestPageCache checks that a READ for the page cache is refused, starts no run, and does not count as the
// first one.
func TestPageCache(t *testing.T) {
	m := newMount(t, Config{}, counting("v", func(n int) string { return fmt.Sprint("run ", n) }))
	f := m.open("v")
	for range 3 {
		if got, st := f.read(0, 4096, 0, nil); st != fuse.EINVAL {
			t.Errorf("the page cache got %q (%v)", got, st)
		}
	}
	if got, _ := f.pread(0, 100); got != "run 1" {
		t.Errorf("read gives %q", got)
	}
}

// TestTold checks that fstat is exact after every run, that a run without changes tells the kernel nothing,
// and that the size is never 0.
func TestTold(t *testing.T) {
	sizes := []int{100, 100, 200, 200, 0, 100}
	now := int64(1000)
	m := newMount(t, Config{}, counting("v", func(n int) string { return strings.Repeat("x", sizes[n-1]) }))
	m.now = func() int64 { return now }
	var f *openFile
	for i, tt := range []struct {
		size        uint64
		invalidated int
	}{{100, 1}, {100, 1}, {200, 2}, {200, 2}, {told.NoSize, 3}, {100, 4}} {
		if i%2 == 0 {
			f = m.open("v")
		}
		f.pread(0, 1000) // the run made by open, or the next
		if f.size() != tt.size || m.kernel.invalidated != tt.invalidated {
			t.Errorf("run %d: size %d, %d invalidations; want %d, %d", i+1, f.size(), m.kernel.invalidated, tt.size, tt.invalidated)
		}
		if i%2 == 1 {
			f.close()
		}
	}
	if out, _ := m.walk("v"); out.Mtime != 1000 || out.Size != 100 {
		t.Errorf("stat says size %d, time %d", out.Size, out.Mtime)
	}
	now++
	sizes = append(sizes, 100)
	m.open("v")
	if out, _ := m.walk("v"); out.Mtime != 1001 || m.kernel.invalidated != 5 {
		t.Errorf("a second later: time %d, %d invalidations", out.Mtime, m.kernel.invalidated)
	}
}

// TestStatLeavesNothing checks that a file that was only stat'ed leaves no entry, and that few closed files
// do.
func TestStatLeavesNothing(t *testing.T) {
	m := newMount(t, Config{}, text("v", "x"))
	held := m.open("v")
	for i := range 3 * told.MaxClosed {
		m.tree.mkdir(rootID, fmt.Sprint(i))
		m.walk(fmt.Sprint(i), "v")
	}
	if n, _ := m.newest.Count(); n != 1 {
		t.Errorf("%d files are remembered, and one was opened", n)
	}
	for i := range 3 * told.MaxClosed {
		f := m.open(fmt.Sprint(i), "v")
		if f.size() != 1 {
			t.Fatalf("size %d", f.size())
		}
		f.close()
	}
	if n, _ := m.newest.Count(); n > told.MaxClosed+2 || n < told.MaxClosed/2 {
		t.Errorf("%d files are remembered", n)
	}
	if held.size() != 1 {
		t.Error("an open file was forgotten")
	}
	// A file without an entry is exact when it is opened again, whatever the kernel was told.
	if f := m.open("0", "v"); f.size() != 1 {
		t.Errorf("size %d", f.size())
	}
}

// TestGrow: the kernel cuts asynchronous reads at the inode's size, rounded up, so no run may be longer.
func TestGrow(t *testing.T) {
	size := 0
	m := newMount(t, Config{}, counting("v", func(int) string { return strings.Repeat("x", size) }))
	check := func(f *openFile, what string) {
		t.Helper()
		if inode := m.kernel.nodes[f.id].inode; (inode+told.ReadUnit-1)/told.ReadUnit*told.ReadUnit < uint64(size) {
			t.Errorf("%s: the inode has %d bytes, the run %d", what, inode, size)
		}
	}
	size = 3 << 20
	f := m.open("v")
	check(f, "the first run")
	f.pread(0, 100)
	size = 10
	f.pread(0, 100)
	if f.size() != 10 {
		t.Errorf("size %d", f.size())
	}
	size = 2 << 20
	f.pread(0, 100)
	check(f, "a longer run")
	grown := m.kernel.grown
	m.open("v")
	if m.kernel.grown != grown {
		t.Error("grown once more")
	}
	// A small run of a second open file does not cut the large one.
	size = 5
	g := m.open("v")
	g.size()
	size = 2 << 20
	check(f, "beside a small run")
}

// TestRunsOfOneFile checks that each of two simultaneous READs at offset 0 gets a run of its own. A READ that
// is interrupted while it waits is EINTR.
func TestRunsOfOneFile(t *testing.T) {
	slow, entered, let := blocking("slow")
	m := newMount(t, Config{}, slow)
	f := m.open("slow")
	f.pread(0, 100)
	var reads sync.WaitGroup
	for range 3 {
		reads.Go(func() {
			if got, st := f.pread(0, 100); got != "slow" {
				t.Errorf("%q (%v)", got, st)
			}
		})
	}
	<-entered
	cancel := make(chan struct{})
	close(cancel)
	if _, st := f.read(0, 100, fuse.READ_LOCKOWNER, cancel); st != fuse.EINTR {
		t.Errorf("interrupted: %v", st)
	}
	let <- true
	for range 2 {
		<-entered
		let <- true
	}
	reads.Wait()
}

// droppedByPools is how many more allocations a run makes because its pools drop buffers, on average.
var droppedByPools float64

// TestAllocations bounds the memory that the filesystem allocates for one open and close, and for one pread
// at offset 0.
func TestAllocations(t *testing.T) {
	m := newMount(t, Config{}, text("v", strings.Repeat("x", 1000)))
	out, _ := m.walk("v")
	buf := make([]byte, 4096)
	open, read, release := &fuse.OpenIn{InHeader: m.header(out.NodeId)}, &fuse.ReadIn{InHeader: m.header(out.NodeId)}, &fuse.ReleaseIn{}
	read.ReadFlags, read.Size = fuse.READ_LOCKOWNER, uint32(len(buf))
	var opened fuse.OpenOut
	begin := func() {
		open.Unique, read.Unique = uniques.Add(2), uniques.Add(2)
		if st := m.Open(nil, open, &opened); !st.Ok() {
			t.Fatal(st)
		}
		read.Fh, release.Fh = opened.Fh, opened.Fh
	}
	pread := func() {
		if data, _, st := m.ReadInto(nil, nil, read, buf); len(data) != 1000 || !st.Ok() {
			t.Fatal(len(data), st)
		}
	}
	if n := testing.AllocsPerRun(1000, func() { begin(); pread(); m.Release(nil, release) }); n > 3+droppedByPools {
		t.Errorf("%v allocations for an open and close", n)
	}
	begin()
	pread()
	if n := testing.AllocsPerRun(1000, func() { read.Unique = uniques.Add(2); pread() }); n > 1+droppedByPools {
		t.Errorf("%v allocations for a pread", n)
	}
}

// goneAware is a view that knows whether the cgroup exists.
func goneAware(m *mount, name string) View {
	return View{Name: name, Run: func(_ context.Context, id uint64, dst []byte) ([]byte, error) {
		_, err := m.tree.Stat(id)
		return append(dst, 'x'), err
	}, Renderings: []Rendering{JSON}, Render: func(_ context.Context, _ Rendering, id uint64, _ Rights, dst []byte) ([]byte, error) {
		_, err := m.tree.Stat(id)
		return append(dst, 'x'), err
	}}
}

// TestRemovedCgroup: a walk from above that meets a removed cgroup gets ESTALE, and then finds the new cgroup
// of that name. A walk that begins inside gets ESTALE once, and then ENOENT.
func TestRemovedCgroup(t *testing.T) {
	m := newMount(t, Config{})
	if err := m.SetViews([]View{goneAware(m, "v")}); err != nil {
		t.Fatal(err)
	}
	estale := fuse.Status(unix.ESTALE)
	getattr := func(id uint64) fuse.Status {
		return m.GetAttr(nil, &fuse.GetAttrIn{InHeader: m.header(id)}, &fuse.AttrOut{})
	}
	open := func(id uint64) fuse.Status { _, st := m.openNode(id); return st }
	// step asks about a name in a directory as the kernel does: twice if it has the name, and then for
	// the attributes.
	step := func(dir uint64, name string, known bool) fuse.Status {
		var out fuse.EntryOut
		for range map[bool]int{false: 1, true: 2}[known] {
			h := m.header(dir)
			if st := m.Lookup(nil, &h, name, &out); !st.Ok() {
				return st
			}
		}
		return getattr(out.NodeId)
	}
	for range 3 {
		id := m.tree.mkdir(rootID, "a")
		dir, _ := m.walk("a")
		control, _ := m.walk("a", ".bpfview")
		json, _ := m.walk("a", ".bpfview", "json")
		v, _ := m.walk("a", "v")
		held := m.open("a", "v")
		held.pread(0, 10)
		m.tree.rmdir(id)

		// From above, one request fails, and the second walk leads to the new cgroup.
		for name, request := range map[string]func() fuse.Status{
			"open with all names cached": func() fuse.Status { return open(v.NodeId) },
			"name cached":                func() fuse.Status { return step(dir.NodeId, "v", true) },
			"name not cached":            func() fuse.Status { return step(dir.NodeId, "v", false) },
			"no view":                    func() fuse.Status { return step(dir.NodeId, "child", true) },
			"in .bpfview":                func() fuse.Status { return step(control.NodeId, "views", true) },
			"in .bpfview/json":           func() fuse.Status { return step(json.NodeId, "v.json", false) },
			"in .bpfview/json, no view":  func() fuse.Status { return step(json.NodeId, "w.json", false) },
		} {
			for range 3 {
				if st := request(); st != estale {
					t.Errorf("%s: %v, want ESTALE", name, st)
				}
				m.walk("a") // the second walk begins above, whether the name is there or not
			}
		}

		// From inside, the second request that fails is the second walk.
		m.thread++
		for i, want := range []fuse.Status{estale, fuse.ENOENT, estale, fuse.ENOENT} {
			if st := step(dir.NodeId, "v", false); st != want {
				t.Errorf("inside, walk %d: %v, want %v", i, st, want)
			}
		}
		if st := open(v.NodeId); st != estale {
			t.Errorf("inside, with the name cached: %v", st)
		}
		if st := step(dir.NodeId, "v", false); st != fuse.ENOENT {
			t.Errorf("and again: %v", st)
		}
		if _, st := m.walk("a"); st != fuse.ENOENT {
			t.Errorf("by path: %v, want ENOENT", st)
		}
		if got, st := held.pread(0, 10); st != fuse.ENODEV {
			t.Errorf("next run of an open file: %q %v, want ENODEV", got, st)
		}
		if got, st := held.pread(0, 10); st != fuse.ENODEV || held.size() != 1 {
			t.Errorf("and once more: %q %v, size %d", got, st, held.size())
		}
		held.close()
	}
	// Callers that cannot be told apart do not share an ENOENT.
	m.thread = 0
	id := m.tree.mkdir(rootID, "b")
	dir, _ := m.walk("b")
	m.tree.rmdir(id)
	for range 3 {
		if st := step(dir.NodeId, "v", false); st != estale {
			t.Errorf("without a thread id: %v", st)
		}
	}
}

// TestRemovedView: a view that is removed between LOOKUP and OPEN is ENOENT by path, and ENODEV in an open
// file.
func TestRemovedView(t *testing.T) {
	removed := false
	m := newMount(t, Config{}, View{Name: "v", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		if removed {
			return nil, fmt.Errorf("it was removed: %w", unix.ENODEV)
		}
		return append(dst, 'x'), nil
	}})
	f := m.open("v")
	f.pread(0, 1)
	removed = true
	if _, st := m.openNode(f.id); st != fuse.ENOENT {
		t.Errorf("before the list of views tells: %v", st)
	}
	if _, st := f.pread(0, 1); st != fuse.ENODEV {
		t.Errorf("an open file: %v", st)
	}
	if err := m.SetViews(nil); err != nil {
		t.Fatal(err)
	}
	if _, st := m.openNode(f.id); st != fuse.Status(unix.ESTALE) {
		t.Errorf("then: %v, want ESTALE for the kernel to walk again", st)
	}
	if _, st := m.walk("v"); st != fuse.ENOENT {
		t.Errorf("the second walk: %v", st)
	}
	if _, st := f.pread(0, 1); st != fuse.ENODEV {
		t.Errorf("an open file: %v", st)
	}
}
