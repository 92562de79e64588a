package iter

import (
	"errors"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/requests"
	"bpfviewfs/iter/runs"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { ktest.Main(m) }

func testHierarchy(t testing.TB, source string) *cgroups.Hierarchy {
	t.Helper()
	testenv.NeedsRoot(t)
	h, err := cgroups.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testViews opens the built-in views. enable names those to enable that are off by default.
func testViews(t testing.TB, h *cgroups.Hierarchy, o Options, enable ...string) map[string]*View {
	t.Helper()
	s := openSet(t, h, Config{Builtin: bpf.Objects, Enable: enable, Options: o})
	views := make(map[string]*View)
	for _, v := range s.Views() {
		if errors.Is(v.Err(), unix.ENOENT) { // off
			continue
		}
		if v.Err() != nil {
			t.Fatalf("%+v", v.Err())
		}
		views[v.Name()] = v
	}
	return views
}

// testSet is a set without views, for the views that a test makes.
func testSet(t testing.TB, h *cgroups.Hierarchy, o Options) *Set {
	t.Helper()
	c := Config{Builtin: bpf.Objects, Options: o}
	s := &Set{hierarchy: h, config: c, runner: c.runner(h)}
	t.Cleanup(s.runner.Close)
	return s
}

// programIn is the program that runs the view in one of the ways, or nil.
func programIn(v *View, ways ...runs.Way) *ebpf.Program {
	for _, w := range ways {
		if p := v.job.Program(w); p != nil {
			return p
		}
	}
	return nil
}

// requestsOf is the map in which a program looks up its reader's cgroup.
func requestsOf(t testing.TB, v *View) *ebpf.Map {
	t.Helper()
	m, err := links.Map(v.job.Program(runs.Whole), requests.Map)
	if err != nil || m == nil {
		t.Fatal(m, err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func parseObject(raw []byte, name string) (*object, error) {
	o, err := programs.Parse(raw, name)
	return &object{Object: o, view: name}, err
}

func newObject(spec *ebpf.CollectionSpec, name string) (*object, error) {
	o, err := programs.New(spec, name)
	return &object{Object: o, view: name}, err
}
