package programs

import (
	"bytes"
	"debug/elf"
	"os"
	"syscall"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

func object(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := bpf.Objects.ReadFile(name + ".bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestBrokenObjects(t *testing.T) {
	tasks := object(t, "tasks")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	bigEndian := bytes.Clone(tasks)
	bigEndian[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	for name, raw := range map[string][]byte{
		"empty":         {},
		"no ELF":        []byte("#!/bin/sh\n"),
		"header only":   tasks[:64],
		"truncated":     tasks[:len(tasks)/2],
		"big endian":    bigEndian,
		"not BPF":       self,
		"several views": object(t, "stacks"),
	} {
		_, err := Parse(raw, "tasks")
		ktest.Errno(t, name, err, syscall.ENOEXEC)
	}
}

func TestProgramsOfObject(t *testing.T) {
	probe := &ebpf.ProgramSpec{Name: "probe", Type: ebpf.Kprobe, SectionName: "kprobe/x", AttachTo: "x"}
	filter := &ebpf.ProgramSpec{Name: "filter", Type: ebpf.SocketFilter, SectionName: "socket"}
	flavour := func(name, target, uses string) *ebpf.ProgramSpec {
		p := ktest.Iterator(name, target)
		p.Instructions = asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference(uses)}
		return p
	}
	tree := func(target string) *ebpf.ProgramSpec { return flavour("v___tree", target, batchMap) }
	walk := func(target string) *ebpf.ProgramSpec { return flavour("v___walk", target, endsMap) }
	sleeper := &ebpf.ProgramSpec{Name: "sleeper", Type: ebpf.Tracing, SectionName: "fentry.s/x",
		AttachTo: "x"}
	for name, test := range map[string]struct {
		programs []*ebpf.ProgramSpec
		main     string
		want     syscall.Errno
	}{
		"one": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup")}, "v", 0},
		"two flavours": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___task", "task")}, "v", 0},
		"three flavours": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___task", "task"), tree("task")}, "v", 0},
		"other tree": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___tree", "task")}, "", syscall.ENOEXEC},
		"tree of others": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			tree("bpf_map_elem")}, "", syscall.ENOEXEC},
		"all flavours": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___task", "task"), tree("task"), walk("task")}, "v", 0},
		"other walk": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___walk", "task")}, "", syscall.ENOEXEC},
		"walk of others": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			walk("cgroup")}, "", syscall.ENOEXEC},
		"flavour of files": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___task", "task_file")}, "v", 0},
		"none":           {nil, "", syscall.ENOEXEC},
		"counters alone": {[]*ebpf.ProgramSpec{probe}, "", syscall.ENOEXEC},
		"other name":     {[]*ebpf.ProgramSpec{ktest.Iterator("w", "tcp")}, "w", 0},
		"flavour alone":  {[]*ebpf.ProgramSpec{ktest.Iterator("v___task", "task")}, "v___task", 0},
		"a second iterator": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("w", "cgroup")}, "v", 0},
		"none of the name": {[]*ebpf.ProgramSpec{ktest.Iterator("u", "cgroup"),
			ktest.Iterator("w", "cgroup")}, "", syscall.ENOEXEC},
		"other target": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "bpf_map")}, "v", 0},
		"other flavour": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"),
			ktest.Iterator("v___task", "tcp")}, "", syscall.ENOEXEC},
		"a counter":       {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), probe}, "v", 0},
		"another program": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), filter}, "v", 0},
		"one that sleeps": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), sleeper}, "v", 0},
	} {
		spec := &ebpf.CollectionSpec{Programs: make(map[string]*ebpf.ProgramSpec)}
		for _, p := range test.programs {
			spec.Programs[p.Name] = p
		}
		o, err := New(spec, "v")
		if test.want != 0 {
			ktest.Errno(t, name, err, test.want)
		} else if err != nil || o.Main() != test.main {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// FuzzObject parses any bytes as an object file.
func FuzzObject(f *testing.F) {
	f.Add(object(f, "cgroup"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Parse(raw, "cgroup")
		if (o == nil) == (err == nil) {
			t.Fatalf("%v, %v", o, err)
		}
	})
}

func TestOrders(t *testing.T) {
	for tag, want := range map[string]links.Order{"help:x": 1, "order:self": 1,
		"order:descendants_pre": 2, "order:descendants_post": 3, "order:ancestors_up": 4} {
		if got, err := orderOf([]string{tag}); err != nil || got != want {
			t.Errorf("%s: %d, %v", tag, got, err)
		}
	}
	_, err := orderOf([]string{"order:random"})
	ktest.Errno(t, "order:random", err, unix.ENOEXEC)
}
