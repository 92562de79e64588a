package iter

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

func builtin(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := bpf.Objects.ReadFile(name + sources.ObjectSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func readObject(t testing.TB, name string) *object {
	t.Helper()
	o, err := parseObject(builtin(t, name), name)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBrokenObjects(t *testing.T) {
	tasks := builtin(t, "tasks")
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
		"several views": builtin(t, "stacks"),
	} {
		_, err := parseObject(raw, "tasks")
		ktest.Errno(t, name, err, syscall.ENOEXEC)
	}
}

// A broken object is listed with its reason, and its neighbours are not harmed.
func TestLoadListsBrokenObjects(t *testing.T) {
	files := fstest.MapFS{
		"empty.bpf.o":      {},
		"Bad-Name.bpf.o":   {Data: builtin(t, "tasks")},
		"a___task.bpf.o":   {Data: builtin(t, "tasks")},
		"README":           {Data: []byte("no view")},
		"dir.bpf.o/x":      {},
		"cut.bpf.o":        {Data: builtin(t, "tasks")[:1000]},
		"misnamed.bpf.o":   {Data: builtin(t, "tasks")},
		"yet_other1.bpf.o": {Data: []byte("\x7fELF")},
	}
	s, err := Open(&cgroups.Hierarchy{}, Config{Builtin: files})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range s.Views() {
		names = append(names, v.Name())
		if v.Err() == nil || strings.Contains(v.Err().Error(), "\n") || !strings.Contains(v.Err().Error(), v.Name()) {
			t.Errorf("%s: error %q", v.Name(), v.Err())
		}
		if v.Kind() != "" {
			t.Errorf("%s: kind %q", v.Name(), v.Kind())
		}
		out, err := v.Run(context.Background(), 1, []byte("kept"))
		if string(out) != "kept" {
			t.Errorf("%s: output %q", v.Name(), out)
		}
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			t.Errorf("%s: run: %v", v.Name(), err)
		}
	}
	want := "Bad-Name a___task cut empty misnamed yet_other1"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("views %s, want %s", got, want)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	_, err = s.Views()[0].Run(context.Background(), 1, nil)
	ktest.Errno(t, "run after close", err, syscall.EBADF)
}

func TestProgramsOfObject(t *testing.T) {
	probe := &ebpf.ProgramSpec{Name: "probe", Type: ebpf.Kprobe, SectionName: "kprobe/x", AttachTo: "x"}
	filter := &ebpf.ProgramSpec{Name: "filter", Type: ebpf.SocketFilter, SectionName: "socket"}
	tree := func(target string) *ebpf.ProgramSpec {
		p := ktest.Iterator("v___tree", target)
		p.Instructions = asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference(runs.BatchMap)}
		return p
	}
	sleeper := &ebpf.ProgramSpec{Name: "sleeper", Type: ebpf.Tracing, SectionName: "fentry.s/x", AttachTo: "x"}
	for name, test := range map[string]struct {
		programs []*ebpf.ProgramSpec
		main     string
		want     syscall.Errno
	}{
		"one":               {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup")}, "v", 0},
		"two flavours":      {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("v___task", "task")}, "v", 0},
		"three flavours":    {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("v___task", "task"), tree("task")}, "v", 0},
		"other tree":        {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("v___tree", "task")}, "", syscall.ENOEXEC},
		"tree of others":    {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), tree("bpf_map_elem")}, "", syscall.ENOEXEC},
		"flavour of files":  {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("v___task", "task_file")}, "v", 0},
		"none":              {nil, "", syscall.ENOEXEC},
		"counters alone":    {[]*ebpf.ProgramSpec{probe}, "", syscall.ENOEXEC},
		"other name":        {[]*ebpf.ProgramSpec{ktest.Iterator("w", "tcp")}, "w", 0},
		"flavour alone":     {[]*ebpf.ProgramSpec{ktest.Iterator("v___task", "task")}, "v___task", 0},
		"a second iterator": {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("w", "cgroup")}, "", syscall.ENOEXEC},
		"none of the name":  {[]*ebpf.ProgramSpec{ktest.Iterator("u", "cgroup"), ktest.Iterator("w", "cgroup")}, "", syscall.ENOEXEC},
		"other target":      {[]*ebpf.ProgramSpec{ktest.Iterator("v", "bpf_map")}, "v", 0},
		"other flavour":     {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), ktest.Iterator("v___task", "tcp")}, "", syscall.ENOEXEC},
		"a counter":         {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), probe}, "v", 0},
		"another program":   {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), filter}, "", syscall.EOPNOTSUPP},
		"one that sleeps":   {[]*ebpf.ProgramSpec{ktest.Iterator("v", "cgroup"), sleeper}, "", syscall.EOPNOTSUPP},
	} {
		spec := &ebpf.CollectionSpec{Programs: make(map[string]*ebpf.ProgramSpec)}
		for _, p := range test.programs {
			spec.Programs[p.Name] = p
		}
		o, err := newObject(spec, "v")
		if test.want != 0 {
			ktest.Errno(t, name, err, test.want)
		} else if err != nil || o.main != test.main {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestLoadErrorHasTheLog(t *testing.T) {
	cause := &ebpf.VerifierError{Cause: syscall.EACCES, Log: []string{"0: R1=ctx()", "invalid mem access"}}
	err := &loadError{"v", fmt.Errorf("program v: several\nlines: %w", cause)}
	if line := fmt.Sprintf("%v", err); strings.Contains(line, "\n") {
		t.Errorf("%%v: %q", line)
	}
	if log := fmt.Sprintf("%+v", err); !strings.Contains(log, "0: R1=ctx()") {
		t.Errorf("%%+v: %q", log)
	}
	ktest.Errno(t, "load error", err, syscall.EACCES)
}

// FuzzObject: an object file may hold anything.
func FuzzObject(f *testing.F) {
	f.Add(builtin(f, "cgroup"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw, "cgroup")
		if (o == nil) == (err == nil) {
			t.Fatalf("%v, %v", o, err)
		}
	})
}
