package cgroups

import (
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
)

func TestMain(m *testing.M) { ktest.Main(m) }

func open(t testing.TB, source string) *Hierarchy {
	t.Helper()
	testenv.NeedsRoot(t)
	h, err := Open(source)
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
