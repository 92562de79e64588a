package programs

import (
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/requests"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Iterator is an iterator program and how it is run.
type Iterator struct {
	program *ebpf.Program
	maps    map[string]*ebpf.Map // with which the program was loaded; nil if it was loaded elsewhere
	target  string               // as in its section, for example cgroup, task or tcp
	tags    []string             // of its function

	functions []string // names of all its functions, if it was loaded elsewhere and they are known

	writable []string // names of maps that the program can change; nil if it was loaded elsewhere
}

// Inspect reads from the kernel how a loaded program is run.
func Inspect(p *ebpf.Program, cache *btf.Cache) (*Iterator, error) {
	it := &Iterator{program: p}
	info, err := p.Info()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about the program: %w", err)
	}
	if it.target, err = links.Target(p, cache); err != nil {
		return nil, err
	}
	// Without BTF, as some loaders leave it, there are no tags.
	if functions, err := info.FuncInfos(); err == nil && len(functions) > 0 {
		it.tags = functions[0].Func.Tags
		for _, f := range functions {
			it.functions = append(it.functions, f.Func.Name)
		}
	}
	return it, nil
}

// Program is the loaded program. Its owner closes it.
func (it *Iterator) Program() *ebpf.Program { return it.program }

// Map opens a map that the program uses; nil if it uses none of the name. The maps of a program that was
// loaded elsewhere are found by their ids, which needs CAP_SYS_ADMIN.
func (it *Iterator) Map(name string) (*ebpf.Map, error) {
	if it.maps == nil {
		return links.Map(it.program, name)
	}
	m := it.maps[name]
	delete(it.maps, name)
	return m, nil
}

// Target is the program's, for example cgroup, task or tcp.
func (it *Iterator) Target() string { return it.target }

// Type reads the type of the program's output from its BTF; without any it is text.
func (it *Iterator) Type() (records.Type, error) {
	handle, err := it.program.Handle()
	if err != nil {
		return records.TypeOf(nil, it.tags, nil)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return records.Type{}, fmt.Errorf("read the program's types: %w", err)
	}
	return records.TypeOf(types, it.tags, it.functions)
}

// Order is the order in which a cgroup iterator walks. It is the tag of the program, or [links.Self]. An
// iterator of another target has none, and a tag there is an error.
func (it *Iterator) Order() (links.Order, error) {
	order, err := orderOf(it.tags)
	if err == nil && order != links.Self && it.target != "cgroup" {
		return order, errno.Errorf(unix.ENOEXEC,
			"it iterates %s, and only an iterator of cgroups has an order",
			it.target)
	}
	return order, err
}

// Rowless is why the program's output about one object may depend on objects that it saw before; "" if it
// cannot, or if VIEW_ROWS says that it does not.
func (it *Iterator) Rowless() string {
	if slices.Contains(it.tags, "rows") {
		return ""
	}
	kept := it.writable
	if kept == nil {
		var err error
		if kept, err = links.Writable(it.program); err != nil {
			return fmt.Sprintf("its maps cannot be looked at (%v)", err)
		}
	}
	for _, name := range kept {
		if name != requests.Map {
			return fmt.Sprintf("the program may keep something in %s from one object to the next "+
				"(VIEW_ROWS says that it does not)", name)
		}
	}
	return ""
}

// Requires are the controllers that a cgroup must have for the view, as VIEW_REQUIRES names them.
func (it *Iterator) Requires() []string { return listOf(it.tags, "requires:") }

// listOf gives the words of the tags that begin with a prefix.
func listOf(tags []string, prefix string) (names []string) {
	for _, tag := range tags {
		if list, ok := strings.CutPrefix(tag, prefix); ok {
			names = append(names, strings.Fields(list)...)
		}
	}
	return names
}

// The walks of BPF_CGROUP_ITER_*, as VIEW_ORDER names them.
var orders = map[string]links.Order{
	"self": links.Self, "descendants_pre": links.DescendantsPre,
	"descendants_post": links.DescendantsPost, "ancestors_up": links.AncestorsUp,
}

func orderOf(tags []string) (links.Order, error) {
	for _, tag := range tags {
		name, isOrder := strings.CutPrefix(tag, "order:")
		if !isOrder {
			continue
		}
		if order, ok := orders[name]; ok {
			return order, nil
		}
		return 0, errno.Errorf(unix.ENOEXEC, "tag %q: no such order", tag)
	}
	return links.Self, nil
}

// functionTags gives the tags of a program's function in its object; nil without BTF.
func functionTags(types *btf.Spec, program string) []string {
	if types == nil {
		return nil
	}
	found, err := types.AnyTypesByName(program)
	if err != nil {
		return nil
	}
	for _, t := range found { // cilium/ebpf takes flavours, such as NAME___tree, for the same name
		if f, ok := t.(*btf.Func); ok && f.Name == program {
			return f.Tags
		}
	}
	return nil
}
