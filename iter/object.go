package iter

import (
	"bytes"
	"fmt"
	iofs "io/fs"
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
	spec     *ebpf.CollectionSpec
	main     string   // iterator program that makes the view
	task     string   // its flavour that is run on each task, "" if there is none
	attached []string // programs that are no iterators: they count what the view shows
	record   *record
}

const taskFlavour = "___task"

// A name is a file's name in every cgroup, a BPF program's and a pin's: bpffs takes no dots.
var viewName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func readObject(objects iofs.FS, name string) (*object, error) {
	if !viewName.MatchString(name) || strings.Contains(name, "___") {
		return nil, fmt.Errorf("name %q: a view is called [a-z][a-z0-9_]*, without ___: %w", name, unix.EINVAL)
	}
	raw, err := iofs.ReadFile(objects, name+objectSuffix)
	if err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	return parseObject(raw, name)
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
	if spec.Types == nil { // no BTF, so no record
		return o, nil
	}
	var err error
	o.record, err = findRecord(spec.Types)
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
			if target := o.spec.Programs[program].AttachTo; !taskTarget(target) {
				return fmt.Errorf("program %s iterates %s, not tasks: %w", program, target, unix.ENOEXEC)
			}
			o.task = program
		default:
			o.main = ""
			return fmt.Errorf("iterators %s: an object holds one, or those called %s and %s: %w",
				strings.Join(iterators, ", "), view, view+taskFlavour, unix.ENOEXEC)
		}
	}
	return nil
}

// loadIterator loads one iterator with the maps it uses. The other flavour stays out: one that this kernel refuses
// would take the whole collection with it.
func (o *object) loadIterator(program string, shared map[string]*ebpf.Map, cache *btf.Cache) (*loaded, error) {
	coll, err := o.load(shared, cache, program)
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	return &loaded{
		program:  coll.DetachProgram(program),
		target:   o.spec.Programs[program].AttachTo,
		tags:     functionTags(o.spec.Types, program),
		requests: coll.DetachMap(requestMap),
	}, nil
}

// load loads some of the programs with the maps they use: those of shared, and new ones.
func (o *object) load(shared map[string]*ebpf.Map, cache *btf.Cache, programs ...string) (*ebpf.Collection, error) {
	spec := o.spec.Copy()
	maps.DeleteFunc(spec.Programs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(programs, name) })
	used := usedMaps(spec.Programs)
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return !used[v.SectionName] })
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool { return !used[name] })
	shared = maps.Clone(shared)
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return !used[name] })
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: cache, MapReplacements: shared})
}

func usedMaps(programs map[string]*ebpf.ProgramSpec) map[string]bool {
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
