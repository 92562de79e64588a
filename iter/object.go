package iter

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// object is what a view's object file holds, before anything of it is loaded.
type object struct {
	spec   *ebpf.CollectionSpec
	cgroup string // program run on the cgroup
	task   string // program run on each of its tasks, "" if there is none
	help   string // what the view shows, "" if it does not say
	record *record

	version int      // of the record; 0 if the object does not say
	others  []string // programs that are no iterators: the view counts what they see

	pins   *registry // where loaded programs are kept; nil for nowhere
	origin func(program string) origin
}

const taskFlavour = "___task"

// A name is a file's name in every cgroup, a BPF program's and a pin's: bpffs takes no dots.
var viewName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func isViewName(name string) bool {
	return viewName.MatchString(name) && !strings.Contains(name, flavourMark)
}

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
	o := &object{spec: spec}
	for _, program := range slices.Sorted(maps.Keys(spec.Programs)) {
		if err := o.take(spec.Programs[program], name); err != nil {
			return nil, err
		}
	}
	if o.cgroup == "" {
		return nil, fmt.Errorf("no iterator program called %s in the object: %w", name, unix.ENOEXEC)
	}
	if spec.Types == nil { // no BTF, so no record
		return o, nil
	}
	o.help, o.version = helpOf(spec.Types, name)
	var err error
	o.record, err = findRecord(spec.Types)
	return o, err
}

// helpOf is what a program's tags say of its view.
func helpOf(types *btf.Spec, name string) (help string, version int) {
	var program *btf.Func
	if types.TypeByName(name, &program) != nil {
		return "", 0
	}
	for _, tag := range program.Tags {
		if text, ok := strings.CutPrefix(tag, "help:"); ok {
			help = text
		}
		if text, ok := strings.CutPrefix(tag, "version:"); ok {
			version, _ = strconv.Atoi(text)
		}
	}
	return help, version
}

// take finds a program's place in the view.
func (o *object) take(p *ebpf.ProgramSpec, view string) error {
	iterator := p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceIter
	switch {
	case !iterator:
		o.others = append(o.others, p.Name)
	case p.Name == view && p.AttachTo == "cgroup":
		o.cgroup = p.Name
	case p.Name == view+taskFlavour && p.AttachTo == "task":
		o.task = p.Name
	case p.Name == view || p.Name == view+taskFlavour:
		return fmt.Errorf("program %s iterates %s: not supported yet: %w", p.Name, p.AttachTo, unix.EOPNOTSUPP)
	default:
		return fmt.Errorf("a second iterator, %s: an object holds %s and at most %s: %w", p.Name, view, view+taskFlavour, unix.ENOEXEC)
	}
	return nil
}

// obtain takes a program from the registry if the same is pinned there, else loads it, and pins it for the next start.
func (o *object) obtain(program string, cache *btf.Cache) (*ebpf.Program, error) {
	if o.pins == nil {
		return o.load(program, cache)
	}
	origin := o.origin(program)
	if p := o.pins.take(program, origin); p != nil {
		return p, nil
	}
	p, err := o.load(program, cache)
	if err == nil {
		o.pins.put(program, p, origin)
	}
	return p, err
}

// attach attaches the programs that are no iterators.
func (o *object) attach(*btf.Cache) error {
	return fmt.Errorf("program %s is not an iterator: not supported yet: %w", o.others[0], unix.EOPNOTSUPP)
}

// load loads one program with the maps it uses. The others stay out: a flavour that this kernel
// refuses would take the whole collection with it.
func (o *object) load(program string, cache *btf.Cache) (*ebpf.Program, error) {
	spec := o.spec.Copy()
	p := spec.Programs[program]
	spec.Programs = map[string]*ebpf.ProgramSpec{program: p}
	used := make(map[string]bool)
	for _, ins := range p.Instructions {
		if ins.IsLoadFromMap() {
			used[ins.Reference()] = true
		}
	}
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: cache})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return coll.DetachProgram(program), nil
}
