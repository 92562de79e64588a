package iter

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

func programView(t *testing.T, h *cgroups.Hierarchy, o Options, programs ...*ebpf.ProgramSpec) *View {
	t.Helper()
	spec := &ebpf.CollectionSpec{Programs: make(map[string]*ebpf.ProgramSpec)}
	for _, p := range programs {
		spec.Programs[p.Name] = p
	}
	object, err := newObject(spec, "v")
	if err != nil {
		t.Fatal(err)
	}
	v := &View{name: "v", life: newLife(), set: testSet(t, h, o)}
	if err := v.loadObject(object, btf.NewCache()); err != nil {
		t.Fatalf("%+v", &loadError{"v", err})
	}
	t.Cleanup(func() { v.close() })
	return v
}

// The kernel takes 32767 bytes about one cgroup. Longer output must never be shown in part.
func TestBoundOfOneRun(t *testing.T) {
	h := testHierarchy(t, "")
	ctx := context.Background()
	out, err := programView(t, h, Options{}, ktest.Writing("v", "cgroup", 63)).Run(ctx, h.Root(),
		[]byte("kept"))
	if err != nil || len(out) != 4+63*512 {
		t.Errorf("63 times 512 bytes: %d, %v", len(out), err)
	}
	out, err = programView(t, h, Options{}, ktest.Writing("v", "cgroup", 64)).Run(ctx, h.Root(),
		[]byte("kept"))
	ktest.Errno(t, "64 times 512 bytes", err, unix.E2BIG)
	if string(out) != "kept" {
		t.Errorf("%d bytes beside the error", len(out))
	}
	_, err = programView(t, h, Options{MaxRun: 1023}, ktest.Writing("v", "cgroup", 2)).Run(ctx,
		h.Root(), nil)
	ktest.Errno(t, "above MaxRun", err, unix.EFBIG)
	out, err = programView(t, h, Options{MaxRun: 1024}, ktest.Writing("v", "cgroup", 2)).Run(ctx,
		h.Root(), nil)
	if err != nil || len(out) != 1024 {
		t.Errorf("as much as MaxRun: %d, %v", len(out), err)
	}
	out, err = programView(t, h, Options{}, ktest.Writing("v", "cgroup", 0)).Run(ctx, h.Root(), nil)
	if err != nil || len(out) != 0 {
		t.Errorf("nothing for a cgroup that is there: %q, %v", out, err)
	}
}

func TestTaskFlavourStandsIn(t *testing.T) {
	h := testHierarchy(t, "")
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Children: 4}.Start(t)
	id := ktest.CgroupID(t, dir)
	ctx := context.Background()
	tooBig, unloadable := ktest.Writing("v", "cgroup", 64), ktest.Writing("v", "cgroup", 1)
	unloadable.Instructions = asm.Instructions{asm.Mov.Reg(asm.R0, asm.R5).WithSymbol("v"), asm.Return()}
	threads := len(ktest.IDs(t, dir, "cgroup.threads"))
	for name, first := range map[string]*ebpf.ProgramSpec{"output": tooBig, "program": unloadable} {
		v := programView(t, h, Options{}, first, ktest.Writing("v___task", "task", 63))
		out, err := v.Run(ctx, id, nil)
		if n := len(ktest.IDs(t, dir, "cgroup.threads")); err != nil || len(out) < threads*63*512 ||
			len(out) > n*63*512 {
			t.Errorf("%s: %d bytes of %d to %d threads, %v", name, len(out), threads, n, err)
		}
	}
	v := programView(t, h, Options{MaxRun: 63 * 512}, tooBig, ktest.Writing("v___task", "task", 63))
	_, err := v.Run(ctx, id, nil)
	ktest.Errno(t, "MaxRun over all processes", err, unix.EFBIG)
	v = programView(t, h, Options{}, tooBig, ktest.Writing("v___task", "task", 64))
	_, err = v.Run(ctx, id, nil)
	ktest.Errno(t, "one thread above 32 KiB", err, unix.E2BIG)

	badFlavour := ktest.Writing("v___task", "task", 1)
	badFlavour.Instructions = asm.Instructions{asm.Mov.Reg(asm.R0, asm.R5).WithSymbol("v___task"),
		asm.Return()}
	v = programView(t, h, Options{}, tooBig, badFlavour)
	_, err = v.Run(ctx, id, nil)
	ktest.Errno(t, "no flavour left", err, unix.E2BIG)
	if !strings.Contains(err.Error(), "nor per task: program v___task") {
		t.Errorf("%v does not say why the task flavour is not there", err)
	}
}

func TestRunOfTheDead(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	views["silent"] = programView(t, h, Options{}, ktest.Writing("v", "cgroup", 0))
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		for name, v := range flavours(t, v) {
			out, err := v.Run(context.Background(), id, []byte("kept"))
			ktest.Errno(t, v.name+" per "+name, err, unix.ENOENT)
			if string(out) != "kept" {
				t.Errorf("%s: %q", v.name, out)
			}
		}
	}
}

func TestCancelledRun(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, v := range views {
		_, err := v.Run(ctx, h.Root(), nil)
		ktest.Errno(t, v.name, err, unix.EINTR)
	}
}

// Runs of two cgroups at one time never mix.
func TestParallelRuns(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	type side struct {
		id   uint64
		path string
		pids map[string]bool
	}
	var sides []side
	for i := range 2 {
		dir := ktest.Cgroup(t, parent, "side"+strconv.Itoa(i))
		ktest.Helper{Cgroup: dir, Children: 5 + i*20}.Start(t)
		s := side{ktest.CgroupID(t, dir), dir, make(map[string]bool)}
		for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
			s.pids[strconv.Itoa(pid)] = true
		}
		sides = append(sides, s)
	}
	before := ktest.Descriptors(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			s := sides[n%2]
			for range 300 {
				out, err := views["tasks"].Run(context.Background(), s.id, nil)
				if err != nil {
					t.Error(err)
					return
				}
				seen := make(map[string]bool)
				for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n")[1:] {
					pid := strings.Fields(line)[0]
					seen[pid] = true
					if !s.pids[pid] {
						t.Errorf("%s: process %s of another cgroup", s.path, pid)
					}
				}
				if len(seen) != len(s.pids) {
					t.Errorf("%s: %d processes of %d", s.path, len(seen), len(s.pids))
				}
				out, err = views["cgroup"].Run(context.Background(), s.id, nil)
				if err != nil || !strings.HasSuffix(string(out), filepath.Base(s.path)+"\n") {
					t.Errorf("%s: %q, %v", s.path, out, err)
				}
			}
		})
	}
	wg.Wait()
	if after := ktest.Descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
