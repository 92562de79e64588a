package iter

import (
	"fmt"

	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	bpfpin "github.com/cilium/ebpf/pin"
	"golang.org/x/sys/unix"
)

// fromPin takes over what somebody else pinned.
func (v *View) fromPin(p *pin, cache *btf.Cache) error {
	object, err := bpfpin.Load(p.path, nil)
	if err != nil {
		return err
	}
	switch object := object.(type) {
	case *ebpf.Program:
		return v.fromPrograms(object, p, cache)
	case *link.Iter:
		v.link = object
		return v.fromLink(cache)
	}
	object.Close()
	return fmt.Errorf("%s is neither a program nor an iterator's link: %w", p.path, unix.ENOEXEC)
}

// fromPrograms makes the view of loaded iterators: the one that has the view's name, and its flavours. All there is to
// know of them is in the kernel.
func (v *View) fromPrograms(main *ebpf.Program, p *pin, cache *btf.Cache) (err error) {
	it := &loaded{program: main}
	if err = it.inspect(cache); err == nil {
		v.typ, err = it.typ()
	}
	if err != nil {
		it.close()
		return err
	}
	if path := p.flavours["task"]; path != "" {
		v.noTask = v.fromFlavour(path, cache)
	}
	if path := p.flavours["tree"]; path != "" {
		v.fromTree(path, cache)
	}
	return v.take(it)
}

// fromTree takes the program pinned at path if it can be the view's tree flavour.
func (v *View) fromTree(path string, cache *btf.Cache) {
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return
	}
	if target, err := links.Target(p, cache); err != nil || target != "task" {
		p.Close()
		return
	}
	v.takeTree(p)
}

func (v *View) fromFlavour(path string, cache *btf.Cache) error {
	program, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return err
	}
	it := &loaded{program: program}
	if err := it.inspect(cache); err != nil {
		it.close()
		return err
	}
	if !taskTarget(it.target) || it.requests != nil {
		it.close()
		return fmt.Errorf("%s is not run on tasks: %w", path, unix.ENOEXEC)
	}
	return v.take(it)
}

// fromLink finds out which cgroup the link is for: it is in that one's directory, or in the top one if for none.
func (v *View) fromLink(cache *btf.Cache) error {
	target, cgroup, program, err := links.Info(v.link)
	if err != nil {
		return err
	}
	v.place.rootOnly = fmt.Sprintf("it is a pinned link that iterates %s", target)
	if target == "cgroup" {
		if v.set.hierarchy.V1() {
			return fmt.Errorf("it is a pinned link for a cgroup of cgroup2, by an id that here is another's: %w", unix.EOPNOTSUPP)
		}
		v.place = place{only: cgroup}
	}
	p, err := ebpf.NewProgramFromID(program)
	if err != nil {
		return fmt.Errorf("find the link's program: %w", err)
	}
	it := &loaded{program: p}
	defer it.close()
	if err := it.inspect(cache); err != nil {
		return err
	}
	v.typ, err = it.typ()
	return err
}
