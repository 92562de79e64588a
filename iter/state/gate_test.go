package state

import (
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/programs"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// hitting counts in the map hits how often it is run.
func hitting(section, attachTo string, kind ebpf.ProgramType, how ebpf.AttachType) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{
		Name: "hit", Type: kind, AttachType: how, AttachTo: attachTo,
		SectionName: section + "/" + attachTo, License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMapValue(asm.R1, 0, 0).WithReference("hits").WithSymbol("hit"),
			asm.Mov.Imm(asm.R2, 1),
			asm.AddAtomic.Mem(asm.R1, asm.R2, asm.DWord, 0),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	}
}

// testTracefs mounts tracefs for a test if it is not mounted, because tracepoints and probes need it.
func testTracefs(t *testing.T) {
	t.Helper()
	testenv.NeedsRoot(t)
	const dir = "/sys/kernel/tracing"
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil && fs.Type == unix.TRACEFS_MAGIC {
		return
	}
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		t.Fatalf("mount tracefs at %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// A view can count with every kind of program that can be attached here.
func TestEveryKindOfProgramCounts(t *testing.T) {
	testTracefs(t)
	h, err := cgroups.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	cgroup := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	begin, wait := ktest.Renamer(t, cgroup)
	counted := 0
	for _, p := range []*ebpf.ProgramSpec{
		hitting("tp_btf", "task_rename", ebpf.Tracing, ebpf.AttachTraceRawTp),
		hitting("raw_tp", "task_rename", ebpf.RawTracepoint, ebpf.AttachNone),
		hitting("tracepoint", "task/task_rename", ebpf.TracePoint, ebpf.AttachNone),
		hitting("fentry", "__set_task_comm", ebpf.Tracing, ebpf.AttachTraceFEntry),
		hitting("fexit", "__set_task_comm", ebpf.Tracing, ebpf.AttachTraceFExit),
		hitting("kprobe", "__set_task_comm", ebpf.Kprobe, ebpf.AttachNone),
		hitting("kretprobe", "__set_task_comm", ebpf.Kprobe, ebpf.AttachNone),
		hitting("lsm", "task_prctl", ebpf.LSM, ebpf.AttachLSMMac),
	} {
		show := ktest.Iterator("v", "cgroup")
		show.License, show.Instructions = "GPL",
			asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("v"), asm.Return()}
		spec := &ebpf.CollectionSpec{
			Programs: map[string]*ebpf.ProgramSpec{"v": show, "hit": p},
			Maps: map[string]*ebpf.MapSpec{
				"hits": {Name: "hits", Type: ebpf.Array, KeySize: 4, ValueSize: 8,
					MaxEntries: 1}},
		}
		if !works(t, spec) {
			t.Logf("%s: not on this kernel", p.SectionName)
			continue
		}
		counted++
		o, err := programs.New(spec, "v")
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(ktest.BPFFS(t), "v")
		s, err := Load(o, nil, dir, nil, btf.NewCache())
		if err == nil {
			err = s.Attach()
		}
		if err != nil {
			t.Errorf("%s: %v", p.SectionName, err)
			continue
		}
		begin(100)
		wait()
		// Other threads of this machine may be given names, too.
		if n := hits(t, dir); n < 100 {
			t.Errorf("%s: counted %d", p.SectionName, n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := new(Uses).Remove(dir); err != nil {
			t.Error(err)
		}
	}
	if counted < 3 { // every kernel has tracepoints
		t.Errorf("%d kinds", counted)
	}
}

// works tells whether the program can be attached by itself.
func works(t *testing.T, spec *ebpf.CollectionSpec) bool {
	t.Helper()
	coll, err := ebpf.NewCollection(spec.Copy())
	if err != nil {
		return false
	}
	defer coll.Close()
	l, err := attach(spec.Programs["hit"], coll.Programs["hit"])
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func hits(t *testing.T, dir string) (n uint64) {
	t.Helper()
	pins, err := filepath.Glob(dir + "/map_hits_*")
	if err != nil || len(pins) != 1 {
		t.Fatal(pins, err)
	}
	m, err := ebpf.LoadPinnedMap(pins[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}
