package iter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// numbers gives the first number of every line but the header.
func numbers(t testing.TB, out, header string) (ids []int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if header != "" {
		if strings.Join(strings.Fields(lines[0]), " ") != header {
			t.Fatalf("header %q", lines[0])
		}
		lines = lines[1:]
	}
	for _, line := range lines {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, err := strconv.Atoi(word)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestWalksInDeclaredOrder(t *testing.T) {
	h := testHierarchy(t, "")
	declared := mustLoad(t, h, "walk", "", same)
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	child := ktest.Cgroup(t, parent, "child")
	p, c := int(ktest.CgroupID(t, parent)), int(ktest.CgroupID(t, child))
	for order, want := range map[links.Order][]int{
		0:                    {c, p}, // as the program declares
		links.DescendantsPre: {p, c},
		links.AncestorsUp:    {p, int(h.Root())},
		links.Self:           {p},
	} {
		v := declared
		if order != 0 {
			program, err := v.job.Program(runs.PerCgroup).Clone()
			if err != nil {
				t.Fatal(err)
			}
			other := *v
			other.job = v.set.runner.NewJob(v.name, v.typ)
			defer other.job.Close()
			if err := other.job.Add(program, mapsOf(program), "cgroup", order, ""); err != nil {
				t.Fatal(err)
			}
			v = &other
		}
		if got := numbers(t, mustRun(t, v, uint64(p)), ""); !slices.Equal(got, want) {
			t.Errorf("order %d: %v, want %v", order, got, want)
		}
	}
}

// Programs from elsewhere are run for each process of the cgroup, with one header.
func TestForeignTaskIterators(t *testing.T) {
	h := testHierarchy(t, "")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	one := ktest.Helper{Cgroup: dir, Threads: 3}.Start(t)
	two := ktest.Helper{Cgroup: dir}.Start(t)
	want := []int{min(one, two), max(one, two)}
	fds := mustRun(t, mustLoad(t, h, "fds", "", same), ktest.CgroupID(t, dir))
	if got := slices.Compact(numbers(t, fds, "tgid fd")); !slices.Equal(got, want) {
		t.Errorf("files of %v, want %v", got, want)
	}
	for _, pid := range want {
		for fd := range 3 {
			if line := fmt.Sprintf("\n%d %d\n", pid, fd); strings.Count(fds, line) != 1 {
				t.Errorf("%q is there %d times", line, strings.Count(fds, line))
			}
		}
	}
	vmas := mustRun(t, mustLoad(t, h, "vmas", "", same), ktest.CgroupID(t, dir))
	if got := slices.Compact(numbers(t, vmas, "")); !slices.Equal(got, want) {
		t.Errorf("memory of %v, want %v", got, want)
	}
	for _, pid := range want {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(maps), " ")
		start, end, _ := strings.Cut(first, "-")
		line := fmt.Sprintf("%d %s-%s\n", pid, strings.TrimLeft(start, "0"),
			strings.TrimLeft(end, "0"))
		if strings.Count(vmas, line) != 1 {
			t.Errorf("%q is there %d times", line, strings.Count(vmas, line))
		}
	}
}

// A line that looks like a header is one only if it has no number of a process.
func TestTwinsAreNoHeader(t *testing.T) {
	h := testHierarchy(t, "")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Children: 2}.Start(t)
	out := mustRun(t, mustLoad(t, h, "twins", "", same), ktest.CgroupID(t, dir))
	if strings.Count(out, "1 process\n") != 3 {
		t.Errorf("%q", out)
	}
}

// printing is a program that prints eight characters for each task.
func printing(text string) *ebpf.ProgramSpec {
	p := ktest.Iterator("v", "task")
	p.License, p.Instructions = "GPL", asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 8, asm.DWord).WithSymbol("v"),
		asm.JEq.Imm(asm.R2, 0, "end"),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord),
		asm.LoadImm(asm.R3, int64(binary.NativeEndian.Uint64([]byte(text))), asm.DWord),
		asm.StoreMem(asm.RFP, -8, asm.R3, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -8),
		asm.Mov.Imm(asm.R3, 8),
		asm.FnSeqWrite.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
		asm.Return(),
	}
	return p
}

// Nor is it a header if there is nothing else, with digits or without.
func TestNothingButHeadersAreNone(t *testing.T) {
	h := testHierarchy(t, "")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Children: 2}.Start(t)
	for _, text := range []string{"sleeper\n", "sleep 1\n", "sleeping"} {
		before := len(ktest.IDs(t, dir, "cgroup.threads"))
		got := strings.Count(mustRun(t, programView(t, h, Options{}, printing(text)),
			ktest.CgroupID(t, dir)), text)
		if after := len(ktest.IDs(t, dir, "cgroup.threads")); got < before || got > after {
			t.Errorf("%q for %d of %d to %d threads", text, got, before, after)
		}
	}
}

// A program that does not ask for a cgroup is in the root alone, however long it is.
func TestRootOnly(t *testing.T) {
	h := testHierarchy(t, "")
	v := mustLoad(t, h, "symbols", "", same)
	if v.job.RootOnly() == "" {
		t.Error("not in the root alone")
	}
	ids := numbers(t, mustRun(t, v, h.Root()), "")
	if len(ids) < 32<<10 || !slices.IsSorted(ids) {
		t.Errorf("%d symbols, the last of number %d", len(ids), ids[len(ids)-1])
	}
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	_, err := v.Run(context.Background(), ktest.CgroupID(t, dir), nil)
	ktest.Errno(t, "another cgroup", err, unix.ENOENT)
}

// elementsRefused tells whether this kernel refuses every iterator of a map's elements, as some hardened
// kernels do. If so, it checks that a view that needs one is absent for that reason.
func elementsRefused(t *testing.T, h *cgroups.Hierarchy) bool {
	t.Helper()
	p, err := ebpf.NewProgram(ktest.Writing("any", "bpf_map_elem", 0))
	if !errors.Is(err, unix.EPERM) {
		p.Close()
		return false
	}
	_, err = loadTestdata(t, h, "elements", "", same)
	ktest.Errno(t, "on this kernel", err, unix.EPERM)
	if err == nil || !strings.Contains(err.Error(), "permits no program of its kind") {
		t.Errorf("%v", err)
	}
	return true
}

func TestElementsOfMap(t *testing.T) {
	h := testHierarchy(t, "")
	if elementsRefused(t, h) {
		return
	}
	_, err := loadTestdata(t, h, "elements", "", same)
	ktest.Errno(t, "no map", err, unix.ENOEXEC)
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 10000})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Put(uint32(7), uint64(49)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(ktest.BPFFS(t), "m")
	if err := m.Pin(path); err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]struct {
		path  string
		errno unix.Errno
	}{
		"not there":      {path + "x", unix.ENOENT},
		"not a map":      {"/dev/null", unix.EACCES},
		"small elements": {smallMap(t, path+"_small"), unix.EACCES},
	} {
		_, err := loadTestdataOf(t, h, "elements", wrong.path)
		ktest.Errno(t, name, err, wrong.errno)
	}
	_, err = loadTestdataOf(t, h, "says", path)
	ktest.Errno(t, "a map for no map's elements", err, unix.EINVAL)
	v, err := loadTestdataOf(t, h, "elements", path)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	out := mustRun(t, v, h.Root())
	if strings.Count(out, "\n") != 10000 || !strings.Contains(out, "\n7 49\n") || v.job.RootOnly() == "" {
		t.Errorf("%d lines: %.100q", strings.Count(out, "\n"), out)
	}
}

func smallMap(t *testing.T, path string) string {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 1, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Pin(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func loadTestdataOf(t *testing.T, h *cgroups.Hierarchy, name, mapPath string) (*View, error) {
	t.Helper()
	o, err := parseObject(testdata(t, name), name)
	if err != nil {
		t.Fatal(err)
	}
	v := &View{name: name, life: newLife(), set: testSet(t, h, Options{}),
		settings: sources.Settings{Map: mapPath}}
	return v, v.loadObject(o, kernelTypes)
}

// Readers of one view for two cgroups, thousands of times at one time, each see their own.
func TestRequestsDoNotMix(t *testing.T) {
	h := testHierarchy(t, "")
	v := mustLoad(t, h, "inside", "", same)
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	done := make(chan string)
	const readers, times = 8, 500
	for i := range readers {
		dir := parent
		if i < 2 {
			dir = ktest.Cgroup(t, parent, fmt.Sprint("c", i))
			ktest.Helper{Cgroup: dir, Threads: 3}.Start(t)
		} else {
			dir = filepath.Join(parent, fmt.Sprint("c", i%2))
		}
		id := ktest.CgroupID(t, dir)
		go func() {
			for range times {
				out, err := v.Run(context.Background(), id, nil)
				if err != nil {
					done <- err.Error()
					return
				}
				lines := strings.Split(strings.TrimSpace(string(out)), "\n")[1:]
				for _, line := range lines {
					if f := strings.Fields(line); f[0] != strconv.FormatUint(id, 10) {
						done <- fmt.Sprintf("cgroup %d: %q", id, line)
						return
					}
				}
				if len(lines) < 4 {
					done <- fmt.Sprintf("cgroup %d: %q", id, out)
					return
				}
				runtime.Gosched()
			}
			done <- ""
		}()
	}
	for range readers {
		if failed := <-done; failed != "" {
			t.Error(failed)
		}
	}
	if n := countEntries(t, requestsOf(t, v)); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

func countEntries(t *testing.T, m *ebpf.Map) (n int) {
	t.Helper()
	var tid uint32
	var asked []byte
	for it := m.Iterate(); it.Next(&tid, &asked); n++ {
	}
	return n
}

func TestRequestForSubTree(t *testing.T) {
	h := testHierarchy(t, "")
	v := mustLoad(t, h, "under", "", same)
	a := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	b := ktest.Cgroup(t, a, "b")
	c := ktest.Cgroup(t, b, "c")
	other := ktest.Cgroup(t, a, "other")
	for _, dir := range []string{b, c, other} {
		ktest.Helper{Cgroup: dir}.Start(t)
	}
	threads := func(dirs ...string) (tids []int) {
		for _, dir := range dirs {
			tids = append(tids, ktest.IDs(t, dir, "cgroup.threads")...)
		}
		slices.Sort(tids)
		return tids
	}
	for dir, want := range map[string][]string{a: {b, c, other}, b: {b, c}, c: {c}} {
		before := threads(want...)
		got := numbers(t, mustRun(t, v, ktest.CgroupID(t, dir)), "TID")
		if after := threads(want...); slices.Equal(before, after) && !slices.Equal(got, after) {
			t.Errorf("%s: %v, want %v", filepath.Base(dir), got, after)
		}
	}
	gone := ktest.Cgroup(t, a, "gone")
	id := ktest.CgroupID(t, gone)
	ktest.RemoveCgroup(t, gone)
	_, err := v.Run(context.Background(), id, nil)
	ktest.Errno(t, "removed cgroup", err, unix.ENOENT)
}

// A full map of requests is not output that does not fit, so no other way of the view is tried.
func TestTooManyRequests(t *testing.T) {
	h := testHierarchy(t, "")
	v := mustLoad(t, h, "inside", "", same)
	requests := requestsOf(t, v)
	for i := range requests.MaxEntries() {
		if err := requests.Put(uint32(1<<31|i), make([]byte, requests.ValueSize())); err != nil {
			t.Fatal(err)
		}
	}
	_, err := v.Run(context.Background(), h.Root(), nil)
	ktest.Errno(t, "run", err, unix.EAGAIN)
}

// The requests of killed readers do not fill the map for ever, though the pinned program keeps it.
func TestRequestsOfTheDead(t *testing.T) {
	h := testHierarchy(t, "")
	registry, dir := testRegistry(t), t.TempDir()
	write(t, filepath.Join(dir, "inside.bpf.o"), testdata(t, "inside"))
	config := Config{Dirs: []string{dir}, Registry: registry}
	first := find(t, openSet(t, h, config), "inside")
	living := ktest.Helper{Cgroup: ktest.Cgroup(t, h.String(), "bpfviewfs-test-*"), Threads: 1}.Start(t)
	requests := requestsOf(t, first)
	// of any thread
	if err := requests.Put(uint32(slices.Max(ktest.Threads(t, living))), make([]byte, requests.ValueSize())); err != nil {
		t.Fatal(err)
	}
	for i := range requests.MaxEntries() - 1 {
		if err := requests.Put(1<<31-1-i, make([]byte, requests.ValueSize())); err != nil {
			t.Fatal(err)
		}
	}
	second := find(t, openSet(t, h, config), "inside")
	mustRun(t, second, h.Root())
	if n := countEntries(t, requestsOf(t, second)); ktest.ProgramID(t,
		first.job.Program(runs.Whole)) != ktest.ProgramID(t, second.job.Program(runs.Whole)) || n != 1 {
		t.Errorf("%d requests are left", n)
	}
}

// A program found pinned makes the view that its object would.
func TestViewOfLoadedProgram(t *testing.T) {
	h := testHierarchy(t, "")
	s := testSet(t, h, Options{})
	bpffs := ktest.BPFFS(t)
	pinned := func(p *ebpf.Program, name string) (*View, error) {
		path := filepath.Join(bpffs, name)
		if err := p.Pin(path); err != nil {
			t.Fatal(err)
		}
		defer p.Unpin()
		v := &View{name: name, life: newLife(), set: s}
		return v, v.fromPin(&sources.Pin{Name: name, Path: path}, kernelTypes)
	}
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir}.Start(t)
	for _, name := range []string{"inside", "under", "walk", "fds", "vmas", "symbols"} {
		v := mustLoad(t, h, name, "", same)
		found, err := pinned(programIn(v, runs.PerCgroup, runs.PerTask, runs.Whole), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer found.close()
		if found.Help() != v.Help() || found.Kind() != v.Kind() ||
			found.job.RootOnly() != v.job.RootOnly() {
			t.Errorf("%s: %+v, want %+v", name, found, v)
		}
		for _, way := range []runs.Way{runs.PerCgroup, runs.PerTask, runs.Whole} {
			if (found.job.Program(way) == nil) != (v.job.Program(way) == nil) {
				t.Errorf("%s is run in other ways: %+v, want %+v", name, found.job, v.job)
			}
		}
		id := ktest.CgroupID(t, dir)
		if v.job.RootOnly() != "" {
			id = h.Root()
		}
		if got, want := mustRun(t, found, id), mustRun(t, v, id); (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL",
		Instructions: ktest.Writing("x", "y",
			0).Instructions[len(ktest.Writing("x", "y", 0).Instructions)-2:]})
	if err != nil {
		t.Fatal(err)
	}
	_, err = pinned(p, "filter")
	ktest.Errno(t, "socket filter", err, unix.ENOEXEC)
}

// Every built-in view has a help text.
func TestHelp(t *testing.T) {
	for _, name := range []string{"cgroup", "cpu", "stacks", "tasks"} {
		if o := readObject(t, name); o.Type().Help() == "" {
			t.Errorf("%s has no help", name)
		}
	}
}
