// Package programs takes object files apart and loads their programs.
//
// An [Object] NAME.bpf.o holds the iterator program that makes the view. If it is the only one, its name does
// not matter. Otherwise it is called NAME, and the others are its flavours NAME___call, NAME___v1,
// NAME___task, NAME___tree and NAME___walk. Other programs of the object are attached to the kernel while the
// view is enabled. An object with iterators of several names is a view for each.
// [Object.Load] loads some of the programs with the maps they use, so that one which the verifier refuses
// takes nothing with it. [Inspect] finds out the same about a program that is loaded already.
//
// An [Origin] is bound to a program and says how it was made, so that a later start can take the program from
// where it is pinned, in place of having it verified again.
package programs

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/panics"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Object is the content of a view's object file. Nothing of it is loaded.
type Object struct {
	spec *ebpf.CollectionSpec
	view string // its name
	// Iterator program that makes the view, with any name if it is the only one.
	main     string
	call     string   // its flavour that is called with a cgroup's id, "" if there is none
	callV1   string   // its flavour that is called with an open directory, "" if there is none
	task     string   // its flavour that is run on each task, "" if there is none
	tree     string   // its flavour that is run for many cgroups at once, "" if there is none
	walk     string   // its flavour that shows a tree in one walk, "" if there is none
	attached []string // programs that are no iterators
	notes    []string // parts of the object that do not work
	typ      records.Type

	stats bool // the verifier has to log how much it looked at
}

// sessionMap is the map in which view_in_epilogue of bpf/include/bpfview.h remembers the cgroup.
const sessionMap = "view_sessions"

// FlavourMark parts a flavour from its view in a program's name.
const FlavourMark = "___"

const (
	callFlavour = FlavourMark + "call"
	v1Flavour   = FlavourMark + "v1"
	taskFlavour = FlavourMark + "task"
	treeFlavour = FlavourMark + "tree"
	walkFlavour = FlavourMark + "walk"
	batchMap    = "view_batches" // of the tree flavour that VIEW_TREE in bpf/include/tree.h makes
	endsMap     = "view_ends"    // of its walk flavour
)

// Main is the name of the iterator program that makes the view. Call is the one to be called with a cgroup's
// id, CallV1 the one to be called on cgroup v1, Task the one to be run on each task, Tree the one for many
// cgroups at once, and Walk the one that shows a tree in one walk. The name is "" if there is none.
func (o *Object) Main() string   { return o.main }
func (o *Object) Call() string   { return o.call }
func (o *Object) CallV1() string { return o.callV1 }
func (o *Object) Task() string   { return o.task }
func (o *Object) Tree() string   { return o.tree }
func (o *Object) Walk() string   { return o.walk }

// Attached are the programs that are no iterators. They count events for the view.
func (o *Object) Attached() []string { return o.attached }

// Type is the type of the view's output.
func (o *Object) Type() records.Type { return o.typ }

// Requires are the controllers that a cgroup must have for the view, as VIEW_REQUIRES names them.
func (o *Object) Requires() []string { return listOf(functionTags(o.spec.Types, o.main), "requires:") }

// Wants are controllers, one of which must be in a hierarchy for the view to have values there. The view is
// in other hierarchies, too. Its tag is "wants:CONTROLLER ...".
func (o *Object) Wants() []string { return listOf(functionTags(o.spec.Types, o.main), "wants:") }

// SetRecord makes the view one of records, for a program that has no tag: name is the struct's.
func (o *Object) SetRecord(name string) error {
	t, left, err := o.typ.WithRecord(o.spec.Types, name)
	if err != nil {
		return err
	}
	o.typ, o.notes = t, append(o.notes, left...)
	return nil
}

// Spec is all that the object holds.
func (o *Object) Spec() *ebpf.CollectionSpec { return o.spec }

// KeepStats makes the verifier log how much it looked at, in the log of each program.
func (o *Object) KeepStats() { o.stats = true }

// Iterator is one of the object's iterators that was loaded as p. maps are those it was loaded with, or nil
// if it is pinned.
func (o *Object) Iterator(name string, p *ebpf.Program, maps map[string]*ebpf.Map) *Iterator {
	it := &Iterator{program: p, maps: maps, target: o.spec.Programs[name].AttachTo,
		tags: functionTags(o.spec.Types, name), writable: []string{}}
	for m := range UsedMaps(o.spec.Programs[name]) {
		if spec := o.spec.Maps[m]; spec == nil || spec.Flags&unix.BPF_F_RDONLY_PROG == 0 {
			it.writable = append(it.writable, m)
		}
	}
	slices.Sort(it.writable)
	return it
}

// Parse takes an object apart. Its bytes may be anything.
func Parse(raw []byte, name string) (o *Object, err error) {
	// The ELF reader is not proof against every broken file; one bad object must not end the process.
	defer func() {
		if r := recover(); r != nil {
			o, err = nil, errno.Errorf(unix.ENOEXEC, "parse the object: panic in %s: %v",
				panics.Place(), r)
		}
	}()
	if err := checkMachine(raw); err != nil {
		return nil, err
	}
	adapted, weak := adapt(raw)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(adapted))
	if err == nil {
		err = zeroUnset(spec, weak)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errno.Errorf(unix.ENOEXEC, "the object is cut short: %w", err)
	}
	if err != nil {
		return nil, errno.Errorf(unix.ENOEXEC, "parse the object: %w", err)
	}
	if o, err = New(spec, name); err == nil {
		o.noteTables(raw)
	}
	return o, err
}

// checkMachine says more clearly than the ELF reader that an object is for another machine.
func checkMachine(raw []byte) error {
	const machine = 18 // offset of e_machine, elf(5)
	if len(raw) < machine+2 || string(raw[:len(elf.ELFMAG)]) != elf.ELFMAG {
		return errno.Errorf(unix.ENOEXEC, "it is no ELF object, but %d other bytes", len(raw))
	}
	want, order := elf.ELFDATA2LSB, binary.ByteOrder(binary.LittleEndian)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		want, order = elf.ELFDATA2MSB, binary.BigEndian
	}
	if got := elf.Data(raw[elf.EI_DATA]); got != want {
		return errno.Errorf(unix.ENOEXEC, "the object is for machines of another byte order (%v; build it with clang -target bpf)", got)
	}
	if got := elf.Machine(order.Uint16(raw[machine:])); got != elf.EM_BPF {
		return errno.Errorf(unix.ENOEXEC,
			"the object is for another machine (%v; build it with clang -target bpf)", got)
	}
	return nil
}

// New makes the object of the view called name from its spec. If the spec has iterators of several views, the
// others are left out.
func New(spec *ebpf.CollectionSpec, name string) (*Object, error) {
	o := &Object{view: name, spec: spec}
	var all, others []string
	for _, program := range slices.Sorted(maps.Keys(spec.Programs)) {
		p := spec.Programs[program]
		switch {
		case p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceIter:
			all = append(all, program)
		case strings.HasPrefix(p.SectionName, "?"): // libbpf's mark for one that is loaded only when asked for
		default:
			others = append(others, program)
		}
	}
	iterators := part(all, name)
	if err := o.choose(iterators, name); err != nil {
		return nil, err
	}
	order, err := orderOf(functionTags(spec.Types, o.main))
	if called := cmp.Or(o.call, o.callV1); called != "" && err == nil && order != links.Self {
		return nil, errno.Errorf(unix.ENOEXEC, "program %s shows one cgroup, and %s walks (VIEW_ORDER)",
			called, o.main)
	}
	o.counting(others, iterators, len(iterators) < len(all))
	o.typ, err = records.TypeOf(spec.Types, functionTags(spec.Types, o.main), functionsOf(spec.Programs[o.main]))
	return o, err
}

// choose finds the place of each iterator in the view. A single iterator is the view, whatever its name is,
// because its author may not know this program.
func (o *Object) choose(iterators []string, view string) error {
	switch len(iterators) {
	case 0:
		return errno.Errorf(unix.ENOEXEC, "no iterator program in the object")
	case 1:
		o.main = iterators[0]
		return nil
	}
	for _, program := range iterators {
		switch program {
		case view:
			o.main = program
		case view + callFlavour, view + v1Flavour:
			if o.spec.Programs[program].AttachTo != "task" {
				return errno.Errorf(unix.ENOEXEC, "program %s is not made by VIEW_CALL of call.h", program)
			}
			if program == view+v1Flavour {
				o.callV1 = program
			} else {
				o.call = program
			}
		case view + taskFlavour:
			if target := o.spec.Programs[program].AttachTo; !links.TaskTarget(target) {
				return errno.Errorf(unix.ENOEXEC, "program %s iterates %s, not tasks",
					program, target)
			}
			o.task = program
		case view + treeFlavour:
			spec := o.spec.Programs[program]
			if spec.AttachTo != "task" || !UsedMaps(spec)[batchMap] {
				return errno.Errorf(unix.ENOEXEC,
					"program %s is not made by VIEW_TREE of tree.h",
					program)
			}
			o.tree = program
		case view + walkFlavour:
			spec := o.spec.Programs[program]
			if spec.AttachTo != "task" || !UsedMaps(spec)[endsMap] {
				return errno.Errorf(unix.ENOEXEC,
					"program %s is not what VIEW_TREE of tree.h makes",
					program)
			}
			o.walk = program
		default:
			o.main = ""
			return errno.Errorf(unix.ENOEXEC,
				"iterators %s: an object holds one, or those called %s and %[2]s%[3]s",
				strings.Join(iterators, ", "), view, strings.Join([]string{callFlavour, v1Flavour,
					taskFlavour, treeFlavour, walkFlavour}, ", "+view))
		}
	}
	return nil
}

// Load loads some of the programs with the maps they use. Maps in shared are used as they are; the others are
// made.
func (o *Object) Load(shared map[string]*ebpf.Map, cache *btf.Cache,
	programs ...string) (*ebpf.Collection, error) {
	spec := o.spec.Copy()
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool {
		return !slices.Contains(programs, name)
	})
	used := UsedMaps(slices.Collect(maps.Values(spec.Programs))...)
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool {
		return !used[v.SectionName]
	})
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	shared = maps.Clone(shared)
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return !used[name] })
	if shared == nil {
		shared = make(map[string]*ebpf.Map)
	}
	opened, err := o.share(spec.Maps, shared)
	defer func() {
		for _, m := range opened {
			m.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	options := ebpf.CollectionOptions{Cache: cache, MapReplacements: shared}
	if o.stats {
		options.Programs.LogLevel = ebpf.LogLevelStats
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, options)
	if refused := new(ebpf.VerifierError); o.stats && errors.As(err, &refused) {
		// The loader asks for the verifier's log only if it was not told a level.
		options.Programs.LogLevel = 0
		coll, err = ebpf.NewCollectionWithOptions(spec, options)
	}
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (this kernel permits no program of its kind, or CAP_BPF or CAP_PERFMON is lacking)", err)
	}
	return coll, err
}

// functionsOf are the names of all functions of a program; nil without types.
func functionsOf(p *ebpf.ProgramSpec) (names []string) {
	for i := range p.Instructions {
		if f := btf.FuncMetadata(&p.Instructions[i]); f != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// UsedMaps are the names of the maps that programs use.
func UsedMaps(programs ...*ebpf.ProgramSpec) map[string]bool {
	used := make(map[string]bool)
	for _, p := range programs {
		for _, ins := range p.Instructions {
			if ins.IsLoadFromMap() {
				used[ins.Reference()] = true
			}
		}
	}
	return used
}
