package iter

import (
	"fmt"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	bpfpin "github.com/cilium/ebpf/pin"
	"golang.org/x/sys/unix"
)

// fromPin makes the view of a foreign pin.
func (v *View) fromPin(p *sources.Pin, cache *btf.Cache) error {
	object, err := bpfpin.Load(p.Path, nil)
	if err != nil {
		return err
	}
	switch object := object.(type) {
	case *ebpf.Program:
		return v.fromPrograms(object, p, cache)
	case *link.Iter:
		return v.fromLink(object, cache)
	}
	object.Close()
	return errno.Errorf(unix.ENOEXEC, "%s is neither a program nor an iterator's link", p.Path)
}

// fromPrograms makes the view of loaded iterators. They are the one with the view's name, and its flavours.
// The kernel has all that is known about them.
func (v *View) fromPrograms(main *ebpf.Program, p *sources.Pin, cache *btf.Cache) error {
	it, err := v.inspect(main, cache)
	if err != nil {
		main.Close()
		return err
	}
	v.job = v.newJob()
	if path := p.Flavours["task"]; path != "" {
		v.job.MissTask(v.fromFlavour(path, cache))
	}
	if !v.set.hierarchy.V1() {
		fromExtra(p.Flavours["call"], v.job.AddCall, cache)
	}
	fromExtra(p.Flavours["tree"], v.job.AddTree, cache)
	return v.add(it)
}

// inspect finds the target and the type of a loaded iterator.
func (v *View) inspect(p *ebpf.Program, cache *btf.Cache) (it *programs.Iterator, err error) {
	if it, err = programs.Inspect(p, cache); err == nil {
		v.typ, err = it.Type()
	}
	if err == nil && v.settings.Record != "" {
		err = v.recordOf(p)
	}
	if err == nil {
		err = v.require(it.Requires())
	}
	return it, err
}

// recordOf makes the view one of records of a loaded program, as its settings say.
func (v *View) recordOf(p *ebpf.Program) error {
	handle, err := p.Handle()
	if err != nil {
		return fmt.Errorf("record: find the program's types: %w", err)
	}
	defer handle.Close()
	types, err := handle.Spec(nil)
	if err != nil {
		return fmt.Errorf("record: read the program's types: %w", err)
	}
	var left []string
	if v.typ, left, err = v.typ.WithRecord(types, v.settings.Record); err != nil {
		return err
	}
	for _, line := range left {
		v.warn("%s", line)
	}
	return nil
}

// fromExtra takes the program pinned at path if it can be a flavour as loadExtra loads.
func fromExtra(path string, add func(*ebpf.Program, runs.Maps), cache *btf.Cache) {
	if path == "" {
		return
	}
	p, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return
	}
	if target, err := links.Target(p, cache); err != nil || target != "task" {
		p.Close()
		return
	}
	add(p, mapsOf(p))
}

func (v *View) fromFlavour(path string, cache *btf.Cache) error {
	program, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return err
	}
	target, err := links.Target(program, cache)
	if err != nil {
		program.Close()
		return err
	}
	return v.job.AddTask(program, mapsOf(program), target)
}

// mapsOf finds the maps of a program that was loaded elsewhere.
func mapsOf(p *ebpf.Program) runs.Maps {
	return func(name string) (*ebpf.Map, error) { return links.Map(p, name) }
}

// fromLink finds out which cgroup the link is for. The view is in the directory of that cgroup. If there is
// none, it is in the top directory.
func (v *View) fromLink(l *link.Iter, cache *btf.Cache) (err error) {
	defer func() {
		if err != nil {
			l.Close()
			v.job = nil
		}
	}()
	_, _, id, err := links.Info(l)
	if err != nil {
		return err
	}
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return fmt.Errorf("find the link's program: %w", err)
	}
	defer p.Close()
	it, err := v.inspect(p, cache)
	if err != nil {
		return err
	}
	v.showsTarget(it.Target())
	v.job = v.newJob()
	return v.job.AddLink(l)
}
