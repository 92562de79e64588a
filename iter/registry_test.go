package iter

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// testRegistry is a directory for pins, in a bpffs of the test's own.
func testRegistry(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(ktest.BPFFS(t), "views")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func pins(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// Not every kernel takes a tree flavour, and not every view has maps (kept_test.go).
		if !strings.HasSuffix(e.Name(), "___tree") && e.Name() != "___maps" {
			names = append(names, e.Name())
		}
	}
	return names
}

// pinForeign pins a program as another tool may.
func pinForeign(t testing.TB, path string, spec *ebpf.ProgramSpec) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Pin(path); err != nil {
		t.Fatal(err)
	}
	return p
}

// wantPins compares the names in the registry. NAME+ stands for NAME and its call, -NAME+ for the call alone,
// if this kernel has calls.
func wantPins(t *testing.T, registry, want string) {
	t.Helper()
	calls := ktest.HasFunction(t, "bpf_cgroup_from_id")
	var names []string
	for name := range strings.FieldsSeq(want) {
		base, called := strings.CutSuffix(name, "+")
		base, alone := strings.CutPrefix(base, "-")
		if !alone {
			names = append(names, base)
		}
		if called && calls {
			names = append(names, base+programs.FlavourMark+"call")
		}
	}
	ktest.Words(t, "pins", pins(t, registry), strings.Join(names, " "))
}

func TestProgramsAreReused(t *testing.T) {
	h := testHierarchy(t, "")
	registry, dir := testRegistry(t), t.TempDir()
	path := filepath.Join(dir, "cpu.bpf.o")
	write(t, path, builtin(t, "cpu"))
	write(t, filepath.Join(dir, "renamed"+sources.ObjectSuffix), testdata(t, "symbols"))
	config := Config{Builtin: only(t, "cgroup"), Dirs: []string{dir}, Registry: registry}
	ids := func(s *Set) (ids []ebpf.ProgramID) {
		for _, v := range s.Views() {
			if v.Err() != nil {
				t.Fatal(v.Err())
			}
			mustRun(t, v, h.Root())
			ids = append(ids, ktest.ProgramID(t, programIn(v, runs.PerCgroup, runs.Whole)))
		}
		return ids
	}
	first := openSet(t, h, config)
	was := ids(first)
	wantPins(t, registry, "cgroup+ cpu+ renamed")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	before := ktest.Descriptors(t)
	second := openSet(t, h, config)
	if is := ids(second); !slices.Equal(is, was) {
		t.Errorf("programs %v, were %v", is, was)
	}

	// Another object has another program, which replaces the pin.
	replace(t, path, append(builtin(t, "cpu"), 0))
	// as after a crash
	if err := find(t, second, "cpu").job.Program(runs.PerCgroup).Pin(
		filepath.Join(registry, "cpu"+temporary)); err != nil {
		t.Fatal(err)
	}
	reload(t, second, true)
	pinned, err := ebpf.LoadPinnedProgram(filepath.Join(registry, "cpu"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.Close()
	now := ktest.ProgramID(t, find(t, second, "cpu").job.Program(runs.PerCgroup))
	if ktest.ProgramID(t, pinned) != now || slices.Contains(was, now) {
		t.Errorf("program %v is pinned, %v runs, %v were before", ktest.ProgramID(t, pinned), now, was)
	}

	// A pin that a user removes takes nothing away. A pin goes if its object is gone.
	if err := os.Remove(filepath.Join(registry, "cgroup")); err != nil {
		t.Fatal(err)
	}
	reload(t, second, false)
	mustRun(t, find(t, second, "cgroup"), h.Root())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	reload(t, second, true)
	wantPins(t, registry, "-cgroup+ renamed")
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	pinned.Close()
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	openSet(t, h, config)
	wantPins(t, registry, "cgroup+ renamed")
}

// The program of a view may have any name, also the name of another view.
func TestPinsHaveTheViewsName(t *testing.T) {
	h := testHierarchy(t, "")
	registry, dir := testRegistry(t), t.TempDir()
	write(t, filepath.Join(dir, "a.bpf.o"), testdata(t, "symbols"))
	write(t, filepath.Join(dir, "b.bpf.o"), append(testdata(t, "symbols"), 0))
	var was []ebpf.ProgramID
	for range 2 {
		s := openSet(t, h, Config{Dirs: []string{dir}, Registry: registry})
		is := []ebpf.ProgramID{ktest.ProgramID(t, find(t, s, "a").job.Program(runs.Whole)),
			ktest.ProgramID(t, find(t, s, "b").job.Program(runs.Whole))}
		if was != nil && !slices.Equal(is, was) {
			t.Errorf("programs %v, were %v", is, was)
		}
		was = is
		ktest.Words(t, "pins", pins(t, registry), "a b")
	}
}

// Two servers share the registry, and each has a directory that the other does not know.
func TestSharedRegistry(t *testing.T) {
	h := testHierarchy(t, "")
	registry := testRegistry(t)
	for _, name := range []string{"cpu", "cgroup"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, name+sources.ObjectSuffix), builtin(t, name))
		s := openSet(t, h, Config{Dirs: []string{dir}, Registry: registry})
		if n := len(s.Views()); n != 1 {
			t.Errorf("%d views", n)
		}
	}
	wantPins(t, registry, "cgroup+ cpu+")
}

func TestForeignPins(t *testing.T) {
	h := testHierarchy(t, "")
	registry := testRegistry(t)
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	path := func(name string) string { return filepath.Join(registry, name) }

	foreign := pinForeign(t, path("cpu"), ktest.Writing("theirs", "cgroup", 1))
	pinForeign(t, path("new"), ktest.Writing("theirs", "cgroup", 2))
	pinForeign(t, path("new___tree"), ktest.Writing("theirs", "task", 2)) // which it cannot be run on
	pinForeign(t, path("Upper"), ktest.Writing("theirs", "cgroup", 2))
	pinForeign(t, path("lonely___task"), ktest.Writing("theirs", "task", 2))
	pinForeign(t, path("cgroup___task"), ktest.Writing("theirs", "task", 2))
	pinForeign(t, path("filter"), &ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Pin(path("amap")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}

	s := openSet(t, h, Config{Builtin: only(t, "cpu", "cgroup", "walk/walk"), Registry: registry})
	var names []string
	for _, v := range s.Views() {
		names = append(names, v.Name())
	}
	ktest.Words(t, "views", names, "Upper amap cgroup cgroup___task cpu filter lonely___task new")
	for name, why := range map[string]string{
		"Upper": "a name that no view has", "amap": "a pinned map", "lonely___task": "no foreign",
		"cgroup___task": "no foreign",
	} {
		if err := find(t, s, name).Err(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, size := range map[string]int{"cpu": 512, "new": 1024} {
		v := find(t, s, name)
		if v.Err() != nil || v.Source() != path(name) || v.Kind() != "text" || !v.Everywhere() {
			t.Errorf("%s: %v, from %s, %s", name, v.Err(), v.Source(), v.Kind())
			continue
		}
		if out := mustRun(t, v, id); len(out) != size {
			t.Errorf("%s: %d bytes", name, len(out))
		}
	}
	if _, err := find(t, s, "new").Tree(context.Background(), records.Text, id, nil, nil); err != nil {
		t.Error(err)
	}
	if warning := find(t, s, "cpu").Warning(); warning != "hides the one that is built in" {
		t.Errorf("warning %q", warning)
	}
	ktest.Errno(t, "filter", find(t, s, "filter").Err(), unix.ENOEXEC)

	// No foreign pin was touched. The set does not take one over again that became foreign.
	pinned, err := ebpf.LoadPinnedProgram(path("cpu"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.Close()
	if ktest.ProgramID(t, pinned) != ktest.ProgramID(t, foreign) {
		t.Error("another program is pinned as cpu")
	}
	if err := os.Remove(path("cpu")); err != nil {
		t.Fatal(err)
	}
	reload(t, s, true)
	if v := find(t, s, "cpu"); v.Err() != nil || v.Source() != "built in" {
		t.Errorf("%v, from %s", v.Err(), v.Source())
	}
	wantPins(t, registry, "Upper amap cgroup+ cgroup___task cpu+ dir filter lonely___task new")
}

func TestPinnedLinks(t *testing.T) {
	h := testHierarchy(t, "")
	registry := testRegistry(t)
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	forCgroup, err := ebpf.NewProgram(ktest.Writing("v", "cgroup", 3))
	if err != nil {
		t.Fatal(err)
	}
	defer forCgroup.Close()
	fd, err := links.Create(forCgroup, links.Cgroup(links.Self, id))
	if err != nil {
		t.Fatal(err)
	}
	one, err := link.NewFromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	forAll, err := ebpf.NewProgram(ktest.Writing("v", "bpf_link", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer forAll.Close()
	all, err := link.AttachIter(link.IterOptions{Program: forAll})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for name, l := range map[string]link.Link{"one": one, "all": all} {
		if err := l.Pin(filepath.Join(registry, name)); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("v1", func(t *testing.T) {
		s := openSet(t, testHierarchy(t, ktest.V1(t)), Config{Registry: registry})
		ktest.Errno(t, "cgroup v1 has ids of its own", find(t, s, "one").Err(), unix.EOPNOTSUPP)
		if err := find(t, s, "all").Err(); err != nil {
			t.Error(err)
		}
	})

	s := openSet(t, h, Config{Registry: registry})
	v := find(t, s, "one")
	ktest.Errno(t, "in the top", v.In(h.Root()), unix.ENOENT)
	if text := v.In(h.Root()).Error(); strings.Contains(text, fmt.Sprint(id)) {
		t.Errorf("%q tells which cgroup has it", text)
	}
	if err := v.In(id); err != nil || v.Everywhere() {
		t.Errorf("everywhere: %v; in its cgroup: %v", v.Everywhere(), err)
	}
	if out := mustRun(t, v, id); len(out) != 3*512 {
		t.Errorf("%d bytes", len(out))
	}
	ktest.RemoveCgroup(t, dir)
	_, err = v.Run(context.Background(), id, nil)
	ktest.Errno(t, "removed cgroup", err, unix.ENOENT)
	v = find(t, s, "all")
	ktest.Errno(t, "below the top", v.In(id), unix.ENOENT)
	_, err = v.Run(context.Background(), id, nil)
	ktest.Errno(t, "run below the top", err, unix.ENOENT)
	if err := v.In(h.Root()); err != nil || v.Everywhere() {
		t.Errorf("everywhere: %v; in the top: %v", v.Everywhere(), err)
	}
	if out := mustRun(t, v, h.Root()); len(out) == 0 || len(out)%512 != 0 {
		t.Errorf("%d bytes", len(out))
	}
	ktest.Words(t, "pins", pins(t, registry), "all one")
}

// Views are there even if the registry cannot be used.
func TestUnusableRegistry(t *testing.T) {
	h := testHierarchy(t, "")
	open := testRegistry(t)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	disk := t.TempDir()
	for registry, words := range map[string]string{
		disk: "mount -t bpf", filepath.Join(disk, "new"): "mount -t bpf",
		"/sys/kernel/bpfview": "mount -t bpf",
		open:                  "chmod go-w", filepath.Join(open, "a", "b"): "no such file",
	} {
		var said []string
		c := Config{Builtin: only(t, "cpu"), Registry: registry,
			Logf: func(format string, args ...any) {
				said = append(said, fmt.Sprintf(format, args...))
			}}
		s, err := Open(h, c)
		if err != nil {
			t.Fatal(err)
		}
		mustRun(t, find(t, s, "cpu"), h.Root())
		reload(t, s, false)
		if len(said) != 1 || !strings.Contains(said[0], words) {
			t.Errorf("%s: said %q", registry, said)
		}
		s.Close()
	}
	if got := append(pins(t, open), pins(t, disk)...); len(got) > 0 {
		t.Errorf("pins %q", got)
	}
}

// A foreign object, loaded by a foreign tool.
func TestBpftoolPins(t *testing.T) {
	h := testHierarchy(t, "")
	testenv.Needs(t, "bpftool")
	registry := testRegistry(t)
	s := openSet(t, h, Config{Registry: registry})
	if out, err := exec.Command("bpftool", "prog", "loadall", "../bpf/tasks.bpf.o",
		filepath.Join(registry, "all")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	reload(t, s, true)
	v := find(t, s, "tasks")
	if v.Err() != nil || v.Kind() != "record" || v.job.Program(runs.PerTask) == nil || v.Help() == "" {
		t.Fatalf("%v, %s, %v, %q", v.Err(), v.Kind(), v.job.Explain(nil), v.Help())
	}
	out, err := v.Run(context.Background(), h.Root(), nil)
	if err != nil || !strings.Contains(string(out), "PID") {
		t.Errorf("%v\n%.100s", err, out)
	}
}

func TestFlavoursArePinned(t *testing.T) {
	h := testHierarchy(t, "")
	registry := testRegistry(t)
	config := Config{Builtin: only(t, "tasks"), Registry: registry}
	v := find(t, openSet(t, h, config), "tasks")
	again := find(t, openSet(t, h, config), "tasks")
	want := ""
	if v.job.Program(runs.PerCgroup) != nil { // some kernels cannot
		want = "tasks+ "
		if ktest.ProgramID(t, again.job.Program(runs.PerCgroup)) != ktest.ProgramID(t,
			v.job.Program(runs.PerCgroup)) {
			t.Error("tasks was loaded twice")
		}
	}
	if ktest.ProgramID(t, again.job.Program(runs.PerTask)) != ktest.ProgramID(t, v.job.Program(runs.PerTask)) {
		t.Error("tasks___task was loaded twice")
	}
	wantPins(t, registry, want+"tasks___task")
}
