// Package join puts the program of a union together, of the walks of several views, before it is loaded.
package join

import (
	"slices"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// The names of bpf/walk/union.bpf.c and of VIEW_TREE in bpf/include/tree.h.
const (
	// Program walks for several views.
	Program = "walk_union"

	unionShow = "union_show"
	walkShown = "_walk_show"
	walkReads = "view_reads"
)

// Object is the object of one of the views of a union.
type Object struct {
	View string
	Spec *ebpf.CollectionSpec
	Walk string // the program
}

// Name is the name of a view's map, function or variable in a union.
func Name(view, name string) string { return name + "." + view }

// Objects adds the walks of objects to the object of unions. Its program then shows each cgroup by one view
// after the other, in their order. Each view keeps its own maps and variables. No two objects may be of one
// view.
func Objects(union *ebpf.CollectionSpec, objects []Object) error {
	program := union.Programs[Program]
	if program == nil {
		return errno.Errorf(unix.ENOEXEC, "the object of unions has no program %s", Program)
	}
	var called []string
	for _, o := range objects {
		walk := o.Spec.Programs[o.Walk]
		if walk == nil {
			return errno.Errorf(unix.ENOEXEC, "view %s has no program that walks", o.View)
		}
		shown, err := reachable(walk.Instructions, o.View+walkShown)
		if err != nil {
			return err
		}
		o.addTo(union, shown)
		program.Instructions = append(program.Instructions, shown...)
		called = append(called, Name(o.View, o.View+walkShown))
	}
	if err := setReads(union, objects); err != nil {
		return err
	}
	return replaceBody(program, unionShow, callEach(called))
}

// setReads has the walk load ahead the members of cgroups that the views read, or all if a view of earlier headers
// does not name them.
func setReads(union *ebpf.CollectionSpec, objects []Object) error {
	all := uint32(0)
	for _, o := range objects {
		variable := o.Spec.Variables[walkReads]
		if variable == nil {
			return nil
		}
		var reads uint32
		if err := variable.Get(&reads); err != nil {
			return err
		}
		all |= reads
	}
	return union.Variables[walkReads].Set(all)
}

// callEach are the instructions of a function that calls others with its own argument, until one of them
// returns another value than 0.
func callEach(functions []string) asm.Instructions {
	body := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for _, f := range functions {
		body = append(body, asm.Mov.Reg(asm.R1, asm.R6), asm.Call.Label(f),
			asm.JNE.Imm(asm.R0, 0, unionShow+".end"))
	}
	return append(body, asm.Mov.Imm(asm.R0, 0), asm.Return().WithSymbol(unionShow+".end"))
}

// addTo renames the functions and the symbols that they use, and adds them to the union.
func (o *Object) addTo(union *ebpf.CollectionSpec, functions asm.Instructions) {
	used := make(map[string]bool)
	for i := range functions {
		ins := &functions[i]
		if name := ins.Symbol(); name != "" {
			*ins = ins.WithSymbol(Name(o.View, name))
		}
		switch name := ins.Reference(); {
		case name == "":
		case ins.IsLoadFromMap():
			used[name] = true
			*ins = ins.WithReference(Name(o.View, name))
		default:
			*ins = ins.WithReference(Name(o.View, name))
		}
	}
	for name, m := range o.Spec.Maps {
		if used[name] { // it keeps its own Name, by which the loader tells sections
			union.Maps[Name(o.View, name)] = m.Copy()
		}
	}
	for name, v := range o.Spec.Variables {
		if used[v.SectionName] {
			v = v.Copy()
			v.Name, v.SectionName = Name(o.View, name), Name(o.View, v.SectionName)
			union.Variables[v.Name] = v
		}
	}
}

// functionsOf are the functions of a program by name, in their order.
func functionsOf(program asm.Instructions) (names []string, bodies map[string]asm.Instructions) {
	bodies = make(map[string]asm.Instructions)
	for i := range program {
		if name := program[i].Symbol(); btf.FuncMetadata(&program[i]) != nil && name != "" {
			names = append(names, name)
		}
		if len(names) > 0 {
			name := names[len(names)-1]
			bodies[name] = append(bodies[name], program[i])
		}
	}
	return names, bodies
}

// reachable copies a function of a program and all that it calls.
func reachable(program asm.Instructions, from string) (functions asm.Instructions, err error) {
	_, bodies := functionsOf(program)
	if bodies[from] == nil {
		return nil, errno.Errorf(unix.ENOEXEC,
			"no function %s: build the object with the headers of this version",
			from)
	}
	wanted := []string{from}
	for i := 0; i < len(wanted); i++ {
		body := bodies[wanted[i]]
		functions = append(functions, body...)
		for j := range body {
			ref := body[j].Reference()
			if bodies[ref] != nil && !body[j].IsLoadFromMap() && !slices.Contains(wanted, ref) {
				wanted = append(wanted, ref)
			}
		}
	}
	return functions, nil
}

// replaceBody gives one of a program's functions another body.
func replaceBody(program *ebpf.ProgramSpec, function string, body asm.Instructions) error {
	names, bodies := functionsOf(program.Instructions)
	if bodies[function] == nil {
		return errno.Errorf(unix.ENOEXEC, "program %s has no function %s", program.Name, function)
	}
	// The kernel wants types and a source line for the first instruction of each function.
	body[0] = body[0].WithMetadata(bodies[function][0].Metadata)
	bodies[function] = body
	program.Instructions = nil
	for _, name := range names {
		program.Instructions = append(program.Instructions, bodies[name]...)
	}
	return nil
}
