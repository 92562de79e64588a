package runs

import (
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/cgroups"
)

func TestMain(m *testing.M) { ktest.Main(m) }

func testHierarchy(t testing.TB) *cgroups.Hierarchy {
	t.Helper()
	testenv.NeedsRoot(t)
	h, err := cgroups.Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}
