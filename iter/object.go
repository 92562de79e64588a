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
	spec   *ebpf.CollectionSpec
	cgroup string // program run on the cgroup
	task   string // program run on each of its tasks, "" if there is none
	help   string // what the view shows, "" if it does not say
	record *record
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
	var program *btf.Func
	if spec.Types.TypeByName(name, &program) == nil {
		for _, tag := range program.Tags {
			if help, ok := strings.CutPrefix(tag, "help:"); ok {
				o.help = help
			}
		}
	}
	var err error
	o.record, err = findRecord(spec.Types)
	return o, err
}

// take finds a program's place in the view.
func (o *object) take(p *ebpf.ProgramSpec, view string) error {
	iterator := p.Type == ebpf.Tracing && p.AttachType == ebpf.AttachTraceIter
	switch {
	case !iterator:
		return fmt.Errorf("program %s (section %s) is not an iterator: not supported yet: %w", p.Name, p.SectionName, unix.EOPNOTSUPP)
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
