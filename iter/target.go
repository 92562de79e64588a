package iter

import (
	"fmt"
	"strings"

	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// loaded is an iterator program in the kernel and what tells how it is run for a cgroup.
type loaded struct {
	program *ebpf.Program
	target  string   // what it iterates, as in its section: cgroup, task, tcp, ...
	tags    []string // of its function
}

// The walks of BPF_CGROUP_ITER_*, as VIEW_ORDER names them.
var orders = map[string]links.Order{
	"self": links.Self, "descendants_pre": links.DescendantsPre, "descendants_post": links.DescendantsPost, "ancestors_up": links.AncestorsUp,
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
		return 0, fmt.Errorf("tag %q: no such order: %w", tag, unix.ENOEXEC)
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
