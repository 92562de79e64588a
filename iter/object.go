package iter

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
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
	tree   string // program run on each of an array of cgroups, "" if there is none
	traits
	others []string // programs that are no iterators: the view counts what they see

	pins   *registry // where loaded programs are kept; nil for nowhere
	origin func(program string) origin
}

const (
	taskFlavour = "___task"
	treeFlavour = "___tree"
)

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
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("parse the object: %w (%w)", err, unix.ENOEXEC)
	}
	return newObject(spec, name)
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
	var err error
	o.traits, err = traitsOf(spec.Types, name)
	return o, err
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
	case p.Name == view+treeFlavour && p.AttachTo == "bpf_map_elem":
		o.tree = p.Name
	case p.Name == view || p.Name == view+taskFlavour || p.Name == view+treeFlavour:
		return fmt.Errorf("program %s iterates %s: not supported yet: %w", p.Name, p.AttachTo, unix.EOPNOTSUPP)
	default:
		return fmt.Errorf("a second iterator, %s: an object holds %s and at most %s and %s: %w",
			p.Name, view, view+taskFlavour, view+treeFlavour, unix.ENOEXEC)
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
