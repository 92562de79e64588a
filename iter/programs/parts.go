package programs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// Views are the names of the views that an object file holds: of its iterators, without their flavours. One
// name means one view, which is called as the file is. The bytes may be anything; nil means no iterator.
func Views(raw []byte) (names []string) {
	defer func() { recover() }() // the reader of the object itself has better words
	f, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil
	}
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || int(s.Section) >= len(f.Sections) {
			continue
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(f.Sections[s.Section].Name, "?"), "/")
		if kind == "iter" || kind == "iter.s" {
			names = append(names, baseOf(s.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// baseOf is a program's name without its flavour.
func baseOf(program string) string {
	base, _, _ := strings.Cut(program, FlavourMark)
	return base
}

// part gives the iterators of an object that make the view of a name. They are all, unless the object has
// several views.
func part(iterators []string, view string) []string {
	bases := make(map[string]bool)
	for _, program := range iterators {
		bases[baseOf(program)] = true
	}
	if len(bases) < 2 || !bases[view] {
		return iterators
	}
	return slices.DeleteFunc(slices.Clone(iterators), func(program string) bool {
		return baseOf(program) != view
	})
}

// counting chooses the programs that count for the view among the others of the object, which are no
// iterators. In an object of one view these are all that can be attached. In an object of several views they
// are those that share a map with the view's own iterators.
func (o *Object) counting(others, iterators []string, several bool) {
	shared := o.mapsOf(iterators...)
	var left []string
	for _, program := range others {
		p := o.spec.Programs[program]
		if !attachable(p) {
			left = append(left, fmt.Sprintf("%s (%s)", program, p.SectionName))
			continue
		}
		mine := !several
		for name := range o.mapsOf(program) {
			mine = mine || shared[name]
		}
		if mine {
			o.attached = append(o.attached, program)
		}
	}
	if len(left) > 0 {
		o.notes = append(o.notes, fmt.Sprintf("left out: %s: "+
			"a view counts with tp_btf, fentry, fexit, fmod_ret, lsm, raw_tp, tracepoint, kprobe or kretprobe, "+
			"none that sleeps, and the section says where", strings.Join(left, ", ")))
	}
}

// mapsOf are the maps that some programs use, without those of constants.
func (o *Object) mapsOf(names ...string) map[string]bool {
	var specs []*ebpf.ProgramSpec
	for _, name := range names {
		specs = append(specs, o.spec.Programs[name])
	}
	used := UsedMaps(specs...)
	maps.DeleteFunc(used, func(name string, _ bool) bool { return strings.HasPrefix(name, ".rodata") })
	return used
}

// Notes are one line each about parts of the object that do not work, for example programs that are left out.
func (o *Object) Notes() []string { return o.notes }

// attachable tells whether a program can be a counting program of a stateful view.
func attachable(spec *ebpf.ProgramSpec) bool {
	kind, _, _ := strings.Cut(spec.SectionName, "/")
	switch kind {
	case "tp_btf", "fentry", "fexit", "fmod_ret", "lsm", "raw_tp", "raw_tracepoint", "tp", "tracepoint",
		"kprobe", "kretprobe":
		return spec.AttachTo != ""
	}
	return false
}
