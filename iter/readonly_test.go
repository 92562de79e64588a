package iter

import (
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bpfviewfs/internal/ktest"
)

// A read-only set finds the pins and counts, and leaves all as it was.
func TestReadOnly(t *testing.T) {
	h := testHierarchy(t, "")
	registry, dir := testRegistry(t), t.TempDir()
	write(t, filepath.Join(dir, "renames.bpf.o"), testdata(t, "renames"))
	write(t, filepath.Join(dir, "renames.yaml"), []byte("enabled: true\n"))
	counting := openSet(t, h, Config{Builtin: only(t, "cpu"), Dirs: []string{dir}, Registry: registry})
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	begin(3)
	wait()
	was := below(t, registry)
	if len(was) < 4 { // cpu, a gate and its slot, a map
		t.Fatalf("pinned are %q", was)
	}
	want := mustRun(t, find(t, counting, "renames"), ktest.CgroupID(t, cgroup))
	if err := counting.Close(); err != nil { // so that only the pins hold the programs
		t.Fatal(err)
	}

	s := openSet(t, h, Config{Builtin: only(t, "cgroup"), Dirs: []string{dir}, Registry: registry,
		ReadOnly: true})
	mustRun(t, find(t, s, "cgroup"), h.Root())
	if got := mustRun(t, find(t, s, "renames"), ktest.CgroupID(t, cgroup)); got != want {
		t.Errorf("%q is counted, want %q", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "renames.bpf.o")); err != nil {
		t.Fatal(err)
	}
	reload(t, s, true)
	if err := s.Detach(); err != nil {
		t.Error(err)
	}
	if is := below(t, registry); !slices.Equal(is, was) {
		t.Errorf("pinned are %q, were %q", is, was)
	}

	none := filepath.Join(registry, "none")
	openSet(t, h, Config{Builtin: only(t, "cgroup"), Registry: none, ReadOnly: true})
	if _, err := os.Stat(none); err == nil {
		t.Error("a registry was made")
	}
}

// below lists all files below a directory.
func below(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e iofs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
