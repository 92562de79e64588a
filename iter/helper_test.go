package iter

import (
	"errors"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/cgroups"
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

// testViews opens the built-in views, of those that are off unless asked for the ones named.
func testViews(t testing.TB, h *cgroups.Hierarchy, o Options, enable ...string) map[string]*View {
	t.Helper()
	s, err := Open(h, Config{Builtin: bpf.Objects, Enable: enable, Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
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
