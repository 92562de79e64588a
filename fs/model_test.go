package fs

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/fs/told"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// model is what the files of a mount should be, in the simplest words. Its operations are done in random
// order on a mount, too, and both must agree.
type model struct {
	*mount
	random *rand.Rand
	memory *os.File
	pinned map[string]bool
	runs   int                        // how many there were; a run's number makes its content
	last   string                     // the content of the last run
	sizes  map[uint64]map[uint64]bool // of the runs of each node
	cgroup uint64                     // the present cgroup of the name a; 0 if there is none
	files  []*modelFile
}

// modelFile is an open file.
type modelFile struct {
	openFile
	view   string
	cgroup uint64
	run    string
	begun  bool // a READ has had the run's beginning
	kept   bool // the run outlives a server that is killed
	lost   bool // it did not
}

func (m *model) view(name string) View {
	return View{Name: name, Kind: "text", Run: func(_ context.Context, id uint64, dst []byte) ([]byte, error) {
		if _, err := m.tree.Stat(id); err != nil {
			return dst, err
		}
		m.runs++
		size := []int{0, 1, 100, 4096, 4097, 200_000}[m.random.IntN(6)]
		m.last = strings.Repeat(fmt.Sprintf("%s %d %d\n", name, id, m.runs), size/6+1)[:size]
		return append(dst, m.last...), nil
	}}
}

// list gives the mount the pinned views.
func (m *model) list() {
	var views []View
	for name, pinned := range m.pinned {
		if pinned {
			views = append(views, m.view(name))
		}
	}
	if err := m.SetViews(views); err != nil {
		m.t.Fatal(err)
	}
}

// begin makes the next server.
func (m *model) begin() {
	m.FS = New(Config{Hierarchy: m.tree, Kernel: m.kernel, Version: "test"})
	if err := m.Inherit(m.memory); err != nil {
		m.t.Fatal(err)
	}
	m.list()
	m.Begin(nil)
	for _, f := range m.files {
		f.m = m.mount
	}
}

// step does one operation, and returns its name.
func (m *model) step() string {
	view := []string{"u", "v", "w"}[m.random.IntN(3)]
	var f *modelFile
	if len(m.files) > 0 {
		f = m.files[m.random.IntN(len(m.files))]
	}
	switch n := m.random.IntN(100); {
	case n < 25:
		return m.tryOpen(view)
	case n < 70 && f != nil:
		return m.tryRead(f)
	case n < 72 && f != nil: // splice(2)
		if got, st := f.read(0, 100, 0, nil); got != "" || st != fuse.EINVAL {
			m.t.Errorf("splice: %q, %v", got, st)
		}
		return "splice"
	case n < 78 && f != nil:
		return m.tryStat(f)
	case n < 86 && f != nil:
		f.close()
		m.files = slices.DeleteFunc(m.files, func(o *modelFile) bool { return o == f })
		return "close"
	case n < 89:
		m.begin()
		m.Alone()
		for _, f := range m.files {
			f.lost = f.lost || !f.kept
		}
		return "kill"
	case n < 91:
		old := m.FS
		m.begin()
		old.Leave()
		m.Alone()
		for _, f := range m.files {
			f.kept = !f.lost
		}
		return "reload"
	case n < 93 && m.cgroup == 0:
		m.cgroup = m.tree.mkdir(rootID, "a")
		return "mkdir"
	case n < 93:
		m.tree.rmdir(m.cgroup)
		m.cgroup = 0
		return "rmdir"
	default:
		m.pinned[view] = !m.pinned[view]
		m.list()
		return "pin or unpin " + view
	}
}

func (m *model) tryOpen(view string) string {
	cgroup, path := uint64(rootID), []string{view}
	if m.random.IntN(2) == 0 {
		cgroup, path = m.cgroup, []string{"a", view}
	}
	m.thread++ // ESTALE and ENOENT take turns for one thread
	runs := m.runs
	out, st := m.walk(path...)
	var file *openFile
	if st.Ok() {
		file, st = m.openNode(out.NodeId)
	}
	if there := cgroup != 0 && m.pinned[view]; there != st.Ok() || !there && st != fuse.ENOENT {
		m.t.Errorf("open %q: %v", path, st)
	} else if there {
		if m.runs != runs+1 {
			m.t.Errorf("open %q made %d runs", path, m.runs-runs)
		}
		f := &modelFile{openFile: *file, view: view, cgroup: cgroup}
		m.ran(f)
		m.files = append(m.files, f)
	}
	return fmt.Sprintf("open %q", path)
}

func (m *model) tryRead(f *modelFile) string {
	off := []int{0, 0, 1, 4096, len(f.run) / 2, len(f.run), 300_000}[m.random.IntN(7)]
	size := []int{1, 4096, 131072, 262144}[m.random.IntN(4)]
	what := fmt.Sprintf("read %s of %d, %d bytes at %d of %d", f.view, f.cgroup, size, off, len(f.run))
	// The first READ of the beginning gets the run of the open, if there still is one. A run that was
	// lost before any of it was read is made again, also for a READ of its middle.
	fresh := off == 0 && f.begun || f.lost && (off == 0 || !f.begun) && off < len(f.run)
	runs := m.runs
	got, st := f.pread(uint64(off), size)
	switch alive := f.cgroup == rootID || f.cgroup == m.cgroup; {
	case fresh && !(alive && m.pinned[f.view]):
		if st != fuse.Status(unix.ENODEV) {
			m.t.Errorf("%s of a view or cgroup that is gone: %v", what, st)
		}
		f.begun = f.begun || off == 0
		return what + ", gone"
	case f.lost && !fresh && off < len(f.run):
		if st != fuse.Status(unix.ESTALE) {
			m.t.Errorf("%s of a lost run: %v", what, st)
		}
		return what + ", lost"
	case fresh:
		if m.runs != runs+1 {
			m.t.Errorf("%s made %d runs", what, m.runs-runs)
		}
		m.ran(f)
		f.lost, f.kept, f.begun = false, false, true
	case m.runs != runs:
		m.t.Errorf("%s made %d runs", what, m.runs-runs)
	}
	f.begun = f.begun || off == 0
	want := f.run[min(off, len(f.run)):min(off+size, len(f.run))]
	if !st.Ok() || got != want {
		m.t.Errorf("%s: %v, %d bytes that begin with %.40q, want %d: %.40q",
			what, st, len(got), got, len(want), want)
	}
	if off < len(f.run) && len(want) < len(f.run) {
		f.kept = true
	}
	return what
}

// tryStat looks at the size that fstat(2) shows. It is the size of the file's newest run, or of an older one
// that another open file may hold.
func (m *model) tryStat(f *modelFile) string {
	var out fuse.AttrOut
	st := m.GetAttr(nil, &fuse.GetAttrIn{InHeader: m.header(f.id)}, &out)
	if sizes := m.sizes[f.id]; !st.Ok() || !sizes[out.Size] {
		m.t.Errorf("stat of %s of %d: size %d (%v), want one of %d", f.view, f.cgroup, out.Size, st,
			slices.Sorted(maps.Keys(sizes)))
	}
	return "stat"
}

// ran notes the run that an open file holds from now on.
func (m *model) ran(f *modelFile) {
	f.run = m.last
	if m.sizes[f.id] == nil {
		m.sizes[f.id] = make(map[uint64]bool)
	}
	m.sizes[f.id][cmp.Or(uint64(len(f.run)), told.NoSize)] = true
}

// TestModel does random operations, the same for the same SEED, which is printed if it fails.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	steps := 15_000
	if testing.Short() {
		steps = 4_000
	}
	fd, err := unix.MemfdCreate("files", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	first := newMount(t, Config{})
	m := &model{mount: first, random: rand.New(rand.NewPCG(seed, 0)), memory: os.NewFile(uintptr(fd), "files"),
		pinned: map[string]bool{"u": true, "v": true, "w": false}, sizes: map[uint64]map[uint64]bool{}}
	defer m.memory.Close()
	m.begin()
	m.Alone()
	counts := make(map[string]int)
	var last []string
	for range steps {
		what := m.step()
		last = append(last, what)
		counts[strings.Fields(what)[0]]++
		if t.Failed() {
			t.Fatalf("SEED=%d, after %d operations, the last of them:\n%s\nerrors: %s", seed, len(last),
				strings.Join(last[max(0, len(last)-20):], "\n"), m.errors.Append(nil))
		}
	}
	t.Log(counts)
	if len(counts) < 10 {
		t.Errorf("only these were done: %q", slices.Sorted(maps.Keys(counts)))
	}
	for _, f := range m.files {
		f.close()
	}
	if left := m.left(); left != 0 {
		t.Errorf("%d open files are left", left)
	}
}
