package iter

import (
	"fmt"
	"maps"

	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/requests"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// object is a view's object, and where its programs are kept.
type object struct {
	*programs.Object
	raw    []byte
	view   string
	pins   *registry // nil for nowhere
	origin func(program string) programs.Origin
	kept   map[string]*ebpf.Map // see Set.keep

	refused []error // why flavours are left out
}

// obtain opens a pinned iterator if it is the same program. Otherwise it loads the program with the maps it
// uses, and has it pinned for the next start, in the registry or with its state. The other flavours stay out,
// because one that this kernel refuses would fail the whole collection.
func (o *object) obtain(program string, s *state.State, cache *btf.Cache) (*programs.Iterator, error) {
	var p *ebpf.Program
	var loaded map[string]*ebpf.Map
	var origin programs.Origin
	switch {
	case s != nil:
		p = s.Pinned(program, o.Spec().Programs[program])
	case o.pins != nil:
		origin = o.origin(program)
		p = o.pins.take(o.pin(program), origin)
	}
	if p == nil {
		shared := make(map[string]*ebpf.Map)
		maps.Copy(shared, o.kept)
		maps.Copy(shared, s.Maps())
		coll, err := o.Load(shared, cache, program)
		if err != nil {
			return nil, err
		}
		defer coll.Close()
		p, loaded = coll.DetachProgram(program), map[string]*ebpf.Map{}
		for _, name := range []string{requests.Map, runs.BatchMap} {
			loaded[name] = coll.DetachMap(name)
		}
		if s == nil {
			o.pins.put(o.pin(program), p, origin)
		}
	}
	return o.Iterator(program, p, loaded), nil
}

// refuse notes why a flavour is left out, if err is not nil.
func (o *object) refuse(program string, err error) {
	if err != nil {
		o.refused = append(o.refused, fmt.Errorf("program %s is left out: %w", program, err))
	}
}

// pin is the name that a program is pinned under. It begins with the view's name; the program may have
// another.
func (o *object) pin(program string) string {
	if program == o.Main() {
		return o.view
	}
	return program
}
