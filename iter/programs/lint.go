package programs

import (
	"fmt"
	"strings"

	"bpfviewfs/internal/ctypes"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// writes reports whether a program can write to the file, and the size of its structs or 0 if that is
// unknown.
func writes(p *ebpf.ProgramSpec) (size int, can bool) {
	var third int64 // the last constant in the register of the third argument
	for _, ins := range p.Instructions {
		code := ins.OpCode
		if code.Class().IsALU() && code.ALUOp() == asm.Mov && code.Source() == asm.ImmSource &&
			ins.Dst == asm.R3 {
			third = ins.Constant
		}
		if !ins.IsBuiltinCall() {
			continue
		}
		switch asm.BuiltinFunc(ins.Constant) {
		case asm.FnSeqWrite:
			size, can = int(third), true
		case asm.FnSeqPrintf, asm.FnSeqPrintfBtf:
			can = true
		}
	}
	return size, can
}

// Lint gives advice to the author of a view that works. written is the size of one run in bytes, and limit
// the kernel's limit of it, 0 for none. binary says that the run has bytes which no text has.
func (o *Object) Lint(written, limit int, binary bool) (found []string) {
	main := o.spec.Programs[o.main]
	used := UsedMaps(main)
	order, err := orderOf(functionTags(o.spec.Types, o.main))
	walks := err == nil && order != links.Self
	if main.AttachTo == "cgroup" && !used[sessionMap] {
		found = append(found, "it works in the walk, under cgroup_mutex: mkdir, rmdir and migration on the whole machine wait meanwhile; "+
			"use view_in_epilogue of bpfview.h")
	}
	if walks && order != links.AncestorsUp {
		delete(used, sessionMap)
		if len(used) == 0 {
			found = append(found, "it walks descendants and keeps nothing in a map: more than 32 KiB about all of them fail the read")
		}
	}
	if limit > 0 && written > limit/2 && o.task == "" {
		found = append(found,
			fmt.Sprintf("it has used %d of %d bytes, and no flavour %s to stand in for it",
				written, limit, o.main+taskFlavour))
	}
	if size, ok := writes(main); !ok {
		found = append(found,
			"it calls none of bpf_seq_printf, bpf_seq_write and bpf_seq_printf_btf, "+
				"so its file is always empty")
	} else if o.typ.Kind() == "text" && binary {
		advice := "it writes no text: name its struct in NAME.yaml (record: STRUCT), or tag it with VIEW_RECORD"
		if names := ctypes.Sized(o.spec.Types, size); len(names) > 0 {
			advice += "; struct " + strings.Join(names, ", ") +
				fmt.Sprintf(" has the %d bytes that it writes", size)
		}
		found = append(found, advice)
	} else if o.typ.Kind() == "text" && written == 0 {
		found = append(found, "this run wrote nothing: if it has something to show, "+
			"VIEW_PRINTF says where bpf_seq_printf is silent")
	}
	if o.typ.Help() == "" {
		found = append(found, "it has no help: add VIEW_HELP")
	}
	for _, name := range o.typ.Sumless() {
		found = append(found,
			fmt.Sprintf("histogram %s has no sum, which collectors then take for 0: VIEW_SUM(%s)",
				name, name))
	}
	if main.AttachTo == "cgroup" && o.call == "" && !walks {
		found = append(found, "each read links it to a cgroup, which takes half of the time: VIEW_CALL of call.h makes that unnecessary")
	}
	if o.typ.Kind() == "record" && main.AttachTo == "cgroup" && o.tree == "" && !walks {
		found = append(found, "a sub-tree is read one cgroup after the other: VIEW_TREE of tree.h makes that one pass")
	}
	return found
}
