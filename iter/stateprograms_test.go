package iter

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
)

// slotPrograms gives the programs that the gates pinned in dir go on to.
func slotPrograms(t *testing.T, dir string) map[string]ebpf.ProgramID {
	t.Helper()
	found := make(map[string]ebpf.ProgramID)
	for _, name := range names(t, dir) {
		if !strings.HasSuffix(name, "_slot") {
			continue
		}
		slot, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		var id uint32
		if err := errors.Join(slot.Lookup(uint32(0), &id), slot.Close()); err != nil {
			t.Fatal(err)
		}
		found[name] = ebpf.ProgramID(id)
	}
	return found
}

// The next start takes the programs of a stateful view as they are, both counting and showing ones.
func TestStatefulProgramsAreReused(t *testing.T) {
	h := testHierarchy(t, "")
	registry, dir := testRegistry(t), t.TempDir()
	path := filepath.Join(dir, "renames"+sources.ObjectSuffix)
	write(t, path, testdata(t, "renames"))
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	config := Config{Dirs: []string{dir}, Registry: registry, Enable: []string{"renames"}}
	state := filepath.Join(registry, programs.FlavourMark+"state", "renames")
	type programs struct {
		counting map[string]ebpf.ProgramID
		showing  ebpf.ProgramID
	}
	events := 0
	// use opens the views, has events counted, and gives the programs that counted and showed them.
	use := func(c Config) (p programs) {
		t.Helper()
		s := openSet(t, h, c)
		v := find(t, s, "renames")
		if v.Err() != nil {
			t.Fatal(v.Err())
		}
		begin(10)
		wait()
		events += 10
		checkCount(t, v, cgroup, events)
		p = programs{slotPrograms(t, state), ktest.ProgramID(t, v.job.Program(runs.PerCgroup))}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	same := func(a, b programs) bool {
		return maps.Equal(a.counting, b.counting) && a.showing == b.showing
	}
	other := func(a, b programs) bool {
		for name, id := range a.counting {
			if b.counting[name] == id {
				return false
			}
		}
		return a.showing != b.showing
	}

	first := use(config)
	before, pinned := ktest.Descriptors(t), names(t, state)
	if second := use(config); !same(first, second) {
		t.Errorf("programs %v, were %v", second, first)
	}
	look := config
	look.ReadOnly = true
	if looked := use(look); !same(first, looked) {
		t.Errorf("programs %v, were %v", looked, first)
	}

	// Another object has other programs, and nothing is left of the first ones.
	replace(t, path, append(testdata(t, "renames"), 0))
	changed := use(config)
	if !other(first, changed) {
		t.Errorf("programs %v of another object, were %v", changed, first)
	}
	if now := names(t, state); len(now) != len(pinned) {
		t.Errorf("pins %q, were %q", now, pinned)
	}

	// Programs are of no use with maps that can no longer be found.
	for _, name := range names(t, state) {
		if strings.HasPrefix(name, "map_renamed_") {
			if err := os.Remove(filepath.Join(state, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	events = 0
	anew := use(config)
	if !other(changed, anew) {
		t.Errorf("programs %v with a map anew, were %v", anew, changed)
	}
	if again := use(config); !same(anew, again) {
		t.Errorf("programs %v, were %v", again, anew)
	}

	// If one of them is gone, it is loaded again with the others.
	for _, name := range slices.Backward(names(t, state)) {
		if strings.HasPrefix(name, "program_renamed_rmdir") ||
			strings.HasPrefix(name, "program_renames_") {
			if err := os.Remove(filepath.Join(state, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last := use(config); !other(anew, last) {
		t.Errorf("programs %v after two were unpinned, were %v", last, anew)
	}
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
