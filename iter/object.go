package iter

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// object is what a view's object file holds, before anything of it is loaded.
type object struct {
	spec     *ebpf.CollectionSpec
	view     string   // its name
	main     string   // iterator program that makes the view, whatever that is called if it is the only one
	task     string   // its flavour that is run on each task, "" if there is none
	tree     string   // its flavour that is run for many cgroups at once, "" if there is none
	attached []string // programs that are no iterators: they count what the view shows
	typ      records.Type

	stats  bool      // the verifier is to say how much it looked at
	pins   *registry // where loaded programs are kept; nil for nowhere
	origin func(program string) origin
}

// sessionMap is what view_in_epilogue of bpf/bpfview.h remembers the cgroup in.
const sessionMap = "view_sessions"

const (
	taskFlavour = flavourMark + "task"
	treeFlavour = flavourMark + "tree"
)

// parseObject takes an object apart. Its bytes may be anything.
func parseObject(raw []byte, name string) (o *object, err error) {
	// The ELF reader is not proof against every broken file; one bad object must not end the process.
	defer func() {
		if r := recover(); r != nil {
			o, err = nil, fmt.Errorf("parse the object: %v: %w", r, unix.ENOEXEC)
		}
	}()
	if err := checkMachine(raw); err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the object is cut short: %w (%w)", err, unix.ENOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("parse the object: %w (%w)", err, unix.ENOEXEC)
	}
	return newObject(spec, name)
}

// checkMachine says more clearly than the ELF reader that an object is for another machine.
func checkMachine(raw []byte) error {
	const machine = 18 // offset of e_machine, elf(5)
	if len(raw) < machine+2 || string(raw[:len(elf.ELFMAG)]) != elf.ELFMAG {
		return fmt.Errorf("it is no ELF object, but %d other bytes: %w", len(raw), unix.ENOEXEC)
	}
	want, order := elf.ELFDATA2LSB, binary.ByteOrder(binary.LittleEndian)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		want, order = elf.ELFDATA2MSB, binary.BigEndian
	}
	if got := elf.Data(raw[elf.EI_DATA]); got != want {
		return fmt.Errorf("the object is for machines of another byte order (%v; build it with clang -target bpf): %w", got, unix.ENOEXEC)
	}
	if got := elf.Machine(order.Uint16(raw[machine:])); got != elf.EM_BPF {
		return fmt.Errorf("the object is for another machine (%v; build it with clang -target bpf): %w", got, unix.ENOEXEC)
	}
	return nil
}

func newObject(spec *ebpf.CollectionSpec, name string) (*object, error) {
	o := &object{view: name, spec: spec}
	var iterators []string
	for _, program := range slices.Sorted(maps.Keys(spec.Programs)) {
		p := spec.Programs[program]
		if p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceIter {
			iterators = append(iterators, program)
			continue
		}
		if strings.HasPrefix(p.SectionName, "?") { // libbpf's sign for one to be loaded only when asked for
			continue
		}
		if err := attachable(p); err != nil {
			return nil, err
		}
		o.attached = append(o.attached, program)
	}
	if err := o.choose(iterators, name); err != nil {
		return nil, err
	}
	var err error
	o.typ, err = records.TypeOf(spec.Types, functionTags(spec.Types, o.main))
	return o, err
}

// choose finds each iterator's place in the view. One alone is the view, whatever it is called: who wrote it may know
// nothing of us.
func (o *object) choose(iterators []string, view string) error {
	switch len(iterators) {
	case 0:
		return fmt.Errorf("no iterator program in the object: %w", unix.ENOEXEC)
	case 1:
		o.main = iterators[0]
		return nil
	}
	for _, program := range iterators {
		switch program {
		case view:
			o.main = program
		case view + taskFlavour:
			if target := o.spec.Programs[program].AttachTo; !runs.TaskTarget(target) {
				return fmt.Errorf("program %s iterates %s, not tasks: %w", program, target, unix.ENOEXEC)
			}
			o.task = program
		case view + treeFlavour:
			spec := o.spec.Programs[program]
			if spec.AttachTo != "task" || !usedMaps(spec)[runs.BatchMap] {
				return fmt.Errorf("program %s is not what VIEW_TREE of tree.h makes: %w", program, unix.ENOEXEC)
			}
			o.tree = program
		default:
			o.main = ""
			return fmt.Errorf("iterators %s: an object holds one, or those called %s, %s and %s: %w",
				strings.Join(iterators, ", "), view, view+taskFlavour, view+treeFlavour, unix.ENOEXEC)
		}
	}
	return nil
}

// obtain takes an iterator from where it is pinned, if it is the same, else loads it with the maps it uses, and has it pinned
// for the next start: in the registry, or with its state, whose maps it holds. The other flavours stay out: one that this
// kernel refuses would take the whole collection with it.
func (o *object) obtain(program string, s *state, cache *btf.Cache) (*loaded, error) {
	spec := o.spec.Programs[program]
	it := &loaded{target: spec.AttachTo, tags: functionTags(o.spec.Types, program)}
	var origin origin
	switch {
	case s != nil:
		it.program = s.take(program, spec)
	case o.pins != nil:
		origin = o.origin(program)
		it.program = o.pins.take(o.pin(program), origin)
	}
	if it.program != nil {
		return it, nil
	}
	coll, err := o.load(s.shared(), cache, program)
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	it.program = coll.DetachProgram(program)
	if s == nil {
		o.pins.put(o.pin(program), it.program, origin)
	}
	return it, nil
}

// pin is the name that a program is pinned under: the view's, though the program may have another.
func (o *object) pin(program string) string {
	if program == o.main {
		return o.view
	}
	return program
}

// load loads some of the programs with the maps they use: those of shared, and new ones.
func (o *object) load(shared map[string]*ebpf.Map, cache *btf.Cache, programs ...string) (*ebpf.Collection, error) {
	spec := o.spec.Copy()
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(programs, name) })
	used := usedMaps(slices.Collect(maps.Values(spec.Programs))...)
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return !used[v.SectionName] })
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	shared = maps.Clone(shared)
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return !used[name] })
	options := ebpf.CollectionOptions{Cache: cache, MapReplacements: shared}
	if o.stats {
		options.Programs.LogLevel = ebpf.LogLevelStats
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, options)
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (this kernel permits no program of its kind, or CAP_BPF or CAP_PERFMON is lacking)", err)
	}
	return coll, err
}

func usedMaps(programs ...*ebpf.ProgramSpec) map[string]bool {
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
