package ktest

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Iterator is an iterator program without instructions.
func Iterator(name, target string) *ebpf.ProgramSpec {
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter,
		AttachTo: target, SectionName: "iter/" + target}
}

// Writing is a program that calls bpf_seq_write n times for 512 bytes, for the cgroup or the task, not the
// epilogue.
func Writing(name, target string, n int) *ebpf.ProgramSpec {
	ins := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 8, asm.DWord).WithSymbol(name),
		asm.JEq.Imm(asm.R2, 0, "end"),
		asm.LoadMem(asm.R7, asm.R1, 0, asm.DWord),
		asm.LoadMem(asm.R6, asm.R7, 0, asm.DWord),
		asm.LoadMem(asm.R8, asm.R7, 8, asm.DWord), // a number to write
	}
	for off := int16(-512); off < 0; off += 8 {
		ins = append(ins, asm.StoreMem(asm.RFP, off, asm.R8, asm.DWord))
	}
	for range n {
		ins = append(ins,
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -512),
			asm.Mov.Imm(asm.R3, 512),
			asm.FnSeqWrite.Call(),
		)
	}
	p := Iterator(name, target)
	p.License, p.Instructions = "GPL", append(ins, asm.Mov.Imm(asm.R0, 0).WithSymbol("end"), asm.Return())
	return p
}

// ProgramID is the kernel's id of a program.
func ProgramID(t testing.TB, p *ebpf.Program) ebpf.ProgramID {
	t.Helper()
	info, err := p.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("a program without an id")
	}
	return id
}

// HasFunction reports whether the kernel's types have a function.
func HasFunction(t testing.TB, name string) bool {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var function *btf.Func
	return kernel.TypeByName(name, &function) == nil
}

// PinnedID is the id of the program that is pinned at a path, 0 if there is none.
func PinnedID(t testing.TB, path string) ebpf.ProgramID {
	t.Helper()
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return ProgramID(t, p)
}
