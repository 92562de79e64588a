package iter

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/sources"
	"golang.org/x/sys/unix"
)

// only holds some of the built-in objects.
func only(t testing.TB, names ...string) fs.FS {
	t.Helper()
	files := make(fstest.MapFS)
	for _, name := range names {
		files[name+sources.ObjectSuffix] = &fstest.MapFile{Data: builtin(t, name)}
	}
	return files
}

func openSet(t testing.TB, h *cgroups.Hierarchy, c Config) *Set {
	t.Helper()
	c.Logf = t.Logf
	s, err := Open(h, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func lookUp(s *Set, name string) *View {
	views := s.Views()
	i := slices.IndexFunc(views, func(v *View) bool { return v.Name() == name })
	if i < 0 {
		return nil
	}
	return views[i]
}

func find(t testing.TB, s *Set, name string) *View {
	t.Helper()
	v := lookUp(s, name)
	if v == nil {
		t.Fatalf("no view %s", name)
	}
	return v
}

func reload(t testing.TB, s *Set, want bool) {
	t.Helper()
	changed, err := s.reload()
	if err != nil || changed != want {
		t.Fatalf("reload: changed %v, %v", changed, err)
	}
}

// A view that is replaced over and over never fails a run, and leaves nothing behind.
func TestReplacedWhileRun(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	path := filepath.Join(dir, "tasks.bpf.o")
	write(t, path, builtin(t, "tasks"))
	s := openSet(t, h, Config{Dirs: []string{dir}})
	first := find(t, s, "tasks")
	before := ktest.Descriptors(t)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, v := range []*View{first, lookUp(s, "tasks")} {
					if out, err := v.Run(
						context.Background(), h.Root(), nil); err != nil ||
						len(out) == 0 {
						t.Errorf("%d bytes, %v", len(out), err)
						return
					}
				}
			}
		})
	}
	for range 20 {
		replace(t, path, builtin(t, "tasks"))
		reload(t, s, true)
	}
	close(done)
	wg.Wait()
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if first.life.users.Load() != 0 {
		t.Errorf("the first view has %d users", first.life.users.Load())
	}
}

func TestReload(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	object, settings := filepath.Join(dir, "tasks.bpf.o"), filepath.Join(dir, "tasks.yaml")
	s := openSet(t, h, Config{Builtin: only(t, "tasks", "cpu"), Dirs: []string{dir}})
	cpu, builtIn := find(t, s, "cpu"), find(t, s, "tasks")
	reload(t, s, false)

	write(t, settings, []byte("{owner: 7, group: 0, mode: '0444', description: mine}"))
	reload(t, s, true)
	v := find(t, s, "tasks")
	if v.Mode() != 0o444 || *v.UID() != 7 || *v.GID() != 0 || v.Help() != "mine" ||
		v.Source() != "built in" || v.Warning() != "" {
		t.Errorf("settings: %o %v %v %q %q %q",
			v.Mode(), v.UID(), v.GID(), v.Help(), v.Source(), v.Warning())
	}
	write(t, object, builtin(t, "tasks"))
	reload(t, s, true)
	v = find(t, s, "tasks")
	if v.Source() != object || v.Help() != "mine" || !strings.Contains(v.Warning(), "hides") {
		t.Errorf("from %s, %q, %q", v.Source(), v.Help(), v.Warning())
	}

	// A source that does not load leaves the running view alone.
	for _, broken := range []struct{ path, text string }{{object, "nonsense"}, {settings, "nonsense"}} {
		write(t, broken.path, []byte(broken.text))
		reload(t, s, true)
		kept := find(t, s, "tasks")
		if kept.Err() != nil || kept.life != v.life ||
			!strings.Contains(kept.Warning(), "goes on as it was: view tasks: ") {
			t.Errorf("%s: %v, %q", broken.path, kept.Err(), kept.Warning())
		}
		mustRun(t, kept, h.Root())
		reload(t, s, false)
	}
	write(t, object, builtin(t, "tasks"))
	write(t, settings, []byte("enabled: false"))
	reload(t, s, true)
	ktest.Errno(t, "off", find(t, s, "tasks").Err(), unix.ENOENT)

	for _, path := range []string{object, settings} {
		if err := unix.Unlink(path); err != nil {
			t.Fatal(err)
		}
	}
	reload(t, s, true)
	if v := find(t, s, "tasks"); v.Err() != nil || v.Source() != "built in" {
		t.Errorf("%v, from %s", v.Err(), v.Source())
	}
	mustRun(t, builtIn, h.Root())
	if find(t, s, "cpu") != cpu {
		t.Error("a view that nobody touched was replaced")
	}
}

// TestLoading checks that a start tells of each view before it is loaded.
func TestLoading(t *testing.T) {
	h := testHierarchy(t, "")
	var told []string
	tell := func(view string, number, of int) { told = append(told, fmt.Sprint(view, number, of)) }
	s := openSet(t, h, Config{Builtin: only(t, "psi", "cpu", "tasks"), Loading: tell})
	want := []string{"cpu1 3", "psi2 3", "tasks3 3"}
	if len(s.Views()) != 3 || !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

func TestRemovedView(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	path := filepath.Join(dir, "tasks.bpf.o")
	write(t, path, builtin(t, "tasks"))
	s := openSet(t, h, Config{Dirs: []string{dir}})
	v := find(t, s, "tasks")
	if err := unix.Unlink(path); err != nil {
		t.Fatal(err)
	}
	reload(t, s, true)
	if got := s.Views(); len(got) > 0 {
		t.Errorf("%d views", len(got))
	}
	_, err := v.Run(context.Background(), h.Root(), nil)
	ktest.Errno(t, "removed", err, unix.ENODEV)
}

// A reader of raw records relies on the version, so a change must be told.
func TestRecordChanges(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	path := filepath.Join(dir, "cpu.bpf.o")
	object := builtin(t, "cpu")
	changed := bytes.Replace(object, []byte("\x00throttled_usec\x00"),
		[]byte("\x00throttlea_usec\x00"), 1)
	if bytes.Equal(object, changed) {
		t.Fatal("no member throttled_usec")
	}
	write(t, path, object)
	s := openSet(t, h, Config{Dirs: []string{dir}})
	for _, step := range []struct {
		object []byte
		warns  bool
	}{{changed, true}, {changed, false}, {object, true}} {
		replace(t, path, step.object)
		reload(t, s, true)
		v := find(t, s, "cpu")
		if v.Err() != nil || strings.Contains(v.Warning(), "without a new version") != step.warns {
			t.Errorf("%v, %q", v.Err(), v.Warning())
		}
		out := mustRun(t, v, h.Root())
		if strings.Contains(out, "THROTTLEA_USEC") != bytes.Equal(step.object, changed) {
			t.Errorf("output %q", out)
		}
	}

	// An upgrade, when the server that knew the old object has ended.
	config := Config{Dirs: []string{dir}, Registry: testRegistry(t)}
	for _, step := range []struct {
		object []byte
		warns  bool
	}{{object, false}, {object, false}, {changed, true}, {changed, false}} {
		replace(t, path, step.object)
		s := openSet(t, h, config)
		if v := find(t, s, "cpu"); v.Err() != nil ||
			strings.Contains(v.Warning(), "without a new version") != step.warns {
			t.Errorf("after a start: %v, %q", v.Err(), v.Warning())
		}
		s.Close()
	}
}
