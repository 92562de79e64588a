package iter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// watched records the changes that Watch reports about a set.
type watched struct {
	set     *Set
	changed chan struct{}
}

func watch(t testing.TB, s *Set) *watched {
	t.Helper()
	w := &watched{s, make(chan struct{}, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Watch(ctx, func() { w.changed <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// until waits for the list of views to become as it is wanted.
func (w *watched) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-w.changed:
		case <-late:
			t.Fatalf("%s: not after a minute", what)
		}
	}
}

func (w *watched) gone(name string) func() bool {
	return func() bool { return lookUp(w.set, name) == nil }
}

func (w *watched) from(name, source string) func() bool {
	return func() bool {
		v := lookUp(w.set, name)
		return v != nil && v.Err() == nil && v.Source() == source
	}
}

func TestWatchDirectory(t *testing.T) {
	h := testHierarchy(t, "")
	above := t.TempDir()
	dir := filepath.Join(above, "a", "b", "views.d")
	path := filepath.Join(dir, "tasks.bpf.o")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	before := ktest.Descriptors(t)
	s := openSet(t, h, Config{Builtin: only(t, "cpu"), Dirs: []string{dir}})
	loaded := ktest.Descriptors(t)
	w := watch(t, s)

	must(os.MkdirAll(dir, 0o755))
	write(t, path, builtin(t, "tasks"))
	w.until(t, "directory made, object written", w.from("tasks", path))
	mustRun(t, find(t, s, "tasks"), h.Root())

	first := find(t, s, "tasks")
	replace(t, path, builtin(t, "tasks"))
	w.until(t, "object replaced", func() bool { return find(t, s, "tasks") != first })

	write(t, filepath.Join(dir, "tasks.yaml"), []byte("mode: '0400'"))
	w.until(t, "settings written", func() bool { return find(t, s, "tasks").Mode() == 0o400 })

	must(os.Chmod(path, 0o666))
	w.until(t, "object writable by all", func() bool { return find(t, s, "tasks").Warning() != "" })
	must(os.Chmod(path, 0o644))
	w.until(t, "object trusted again", func() bool { return find(t, s, "tasks").Warning() == "" })

	must(os.Rename(dir, dir+".old"))
	w.until(t, "directory renamed", w.gone("tasks"))
	must(os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "stacks.bpf.o"), builtin(t, "stacks"))
	w.until(t, "another directory", w.from("stacks", filepath.Join(dir, "stacks.bpf.o")))
	must(os.RemoveAll(dir))
	must(os.Rename(dir+".old", dir))
	w.until(t, "the first directory again", w.from("tasks", path))
	w.until(t, "the other's views", w.gone("stacks"))

	// However an object is written, in the end it is loaded whole.
	must(os.Remove(path))
	w.until(t, "object removed", func() bool { return find(t, s, "tasks").Err() != nil })
	must(os.Remove(filepath.Join(dir, "tasks.yaml")))
	w.until(t, "settings removed", w.gone("tasks"))
	f, err := os.Create(path)
	must(err)
	raw := builtin(t, "tasks")
	for len(raw) > 0 {
		n, err := f.Write(raw[:min(len(raw), 1000)])
		must(err)
		raw = raw[n:]
	}
	must(f.Close())
	w.until(t, "object written in pieces", w.from("tasks", path))
	must(os.RemoveAll(filepath.Join(above, "a")))
	w.until(t, "all removed", w.gone("tasks"))
	if loaded <= before {
		t.Errorf("%d descriptors with views, %d before", loaded, before)
	}
}

func TestWatchRegistry(t *testing.T) {
	h := testHierarchy(t, "")
	registry := filepath.Join(testRegistry(t), "bpfview")
	path := filepath.Join(registry, "x")
	s := openSet(t, h, Config{Builtin: only(t, "cpu"), Registry: registry})
	w := watch(t, s)
	for range 2 {
		pinForeign(t, path, ktest.Writing("theirs", "cgroup", 1))
		w.until(t, "pinned", w.from("x", path))
		if out := mustRun(t, find(t, s, "x"), h.Root()); len(out) != 512 {
			t.Errorf("%d bytes", len(out))
		}
		first := find(t, s, "x")
		pinForeign(t, path+"___new", ktest.Writing("theirs", "cgroup", 2))
		if err := os.Rename(path+"___new", path); err != nil {
			t.Fatal(err)
		}
		w.until(t, "replaced", func() bool { return find(t, s, "x") != first })
		if out := mustRun(t, first, h.Root()); len(out) != 1024 {
			t.Errorf("%d bytes", len(out))
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.until(t, "unpinned", w.gone("x"))
		_, err := first.Run(context.Background(), h.Root(), nil)
		ktest.Errno(t, "run of what is gone", err, unix.ENODEV)
	}
	// The whole registry goes, and comes back.
	if err := os.RemoveAll(registry); err != nil {
		t.Fatal(err)
	}
	mustRun(t, find(t, s, "cpu"), h.Root())
	for {
		if _, err := os.Stat(registry); err == nil {
			break
		}
		if _, err := s.reload(); err != nil {
			t.Fatal(err)
		}
	}
	pinForeign(t, path, ktest.Writing("theirs", "cgroup", 1))
	w.until(t, "pinned in a new registry", w.from("x", path))
}

// The map that settings name may come later, and another one may take its place.
func TestWatchMap(t *testing.T) {
	h := testHierarchy(t, "")
	if elementsRefused(t, h) {
		return
	}
	dir, path := t.TempDir(), filepath.Join(ktest.BPFFS(t), "maps", "m")
	write(t, filepath.Join(dir, "elements.bpf.o"), testdata(t, "elements"))
	write(t, filepath.Join(dir, "elements.yaml"), []byte("map: "+path))
	s := openSet(t, h, Config{Dirs: []string{dir}})
	ktest.Errno(t, "no map", find(t, s, "elements").Err(), unix.ENOENT)
	w := watch(t, s)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8,
			MaxEntries: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := errors.Join(m.Put(uint32(7), uint64(i)), m.Pin(path)); err != nil {
			t.Fatal(err)
		}
		w.until(t, "map pinned", func() bool {
			v := find(t, s, "elements")
			return v.Err() == nil && v.Warning() == "" &&
				strings.Contains(mustRun(t, v, h.Root()), fmt.Sprintf("\n7 %d\n", i))
		})
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.until(t, "map unpinned", func() bool { return find(t, s, "elements").Warning() != "" })
	}
}

func TestWatchEnds(t *testing.T) {
	h := testHierarchy(t, "")
	s := openSet(t, h, Config{Builtin: only(t, "cpu"), Dirs: []string{t.TempDir()}})
	before := ktest.Descriptors(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Watch(ctx, func() { t.Error("changed") }); err != nil {
		t.Error(err)
	}
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ktest.Errno(t, "closed", s.Watch(context.Background(), nil), unix.EBADF)
}
