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
	program  *ebpf.Program
	target   string    // what it iterates, as in its section: cgroup, task, tcp, ...
	tags     []string  // of its function
	requests *ebpf.Map // where it looks up the cgroup it is asked for; nil if it does not
}

func (it *loaded) close() {
	it.program.Close()
	it.requests.Close()
}

// take makes the view of an iterator, in the one of three ways that its target allows:
//
//   - cgroup: it is linked to the cgroup;
//   - task, task_file, task_vma: it is linked to each process of the cgroup in turn;
//   - any other, and those that have a request map: it goes through all that the machine has, and is told which
//     cgroup is asked for. One that does not ask is a view of the root alone.
//
// The iterator is the view's from now on; on an error it is closed.
func (v *View) take(it *loaded) (err error) {
	if v.settings.Map != "" && (it.target == "cgroup" || taskTarget(it.target) && it.requests == nil) {
		it.close()
		return fmt.Errorf("map: it iterates %s, not the elements of a map: %w", it.target, unix.EINVAL)
	}
	switch {
	case it.target == "cgroup":
		v.cgroup = it.program
		v.order, err = orderOf(it.tags)
	case taskTarget(it.target) && it.requests == nil:
		if v.task != nil {
			it.close()
			return fmt.Errorf("two programs to run on each task: %w", unix.ENOEXEC)
		}
		v.task, v.taskTarget = it.program, it.target
	default:
		v.whole, v.requests = it.program, it.requests
		if it.requests == nil {
			v.place.rootOnly = "it does not ask which cgroup is meant"
		}
		err = v.checkWhole(it.target)
	}
	if err != nil {
		it.close()
		v.cgroup, v.whole, v.requests = nil, nil, nil
	}
	return err
}

// taskTarget tells whether an iterator of target can be linked to one process.
func taskTarget(target string) bool {
	return target == "task" || target == "task_file" || target == "task_vma"
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
