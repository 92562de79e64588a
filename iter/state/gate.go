package state

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// gate stands for one program of a stateful view that is no iterator. The attached program is a small one
// that goes on, by a tail call, to the view's program in its slot. A link to a tracepoint cannot change its
// program, but a slot can. So each event is seen by the old program or by the new one.
type gate struct {
	slot *ebpf.Map
	link link.Link // nil if it belongs to an earlier process
	pin  string    // path of the link's pin, "" if it has none
}

const slotSuffix = "_slot"

// openGate finds the gate that is pinned at path. If there is none, it makes one for programs like spec and
// attaches it, empty. Without a path the gate ends with this process.
func openGate(spec *ebpf.ProgramSpec, path string) (*gate, error) {
	if path == "" {
		return newGate(spec)
	}
	if _, err := os.Stat(path); err == nil {
		slot, err := ebpf.LoadPinnedMap(path+slotSuffix, nil)
		if err == nil {
			return &gate{slot: slot, pin: path}, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open the link of program %s of section %s: %w",
				spec.Name, spec.SectionName, err)
		}
		// The slot's pin was removed. The link leads to a slot that cannot be filled again.
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove a link without a slot: %w", err)
		}
	}
	g, err := newGate(spec)
	if err != nil {
		return nil, err
	}
	// The link's pin comes last, so a gate with it is whole.
	os.Remove(path + slotSuffix)
	if err := errors.Join(g.slot.Pin(path+slotSuffix), g.link.Pin(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin program %s: %w", spec.Name, err), g.remove())
	}
	g.pin = path
	return g, nil
}

func newGate(spec *ebpf.ProgramSpec) (*gate, error) {
	slot, err := ebpf.NewMap(&ebpf.MapSpec{Name: "view_slot", Type: ebpf.ProgramArray, KeySize: 4,
		ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("make a slot for program %s: %w", spec.Name, err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: spec.Name, Type: spec.Type, AttachType: spec.AttachType, AttachTo: spec.AttachTo,
		License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.LoadMapPtr(asm.R2, slot.FD()),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a gate for program %s: %w", spec.Name, err),
			slot.Close())
	}
	defer program.Close()
	l, err := attach(spec, program)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach program %s of section %s: %w",
			spec.Name, spec.SectionName, err), slot.Close())
	}
	return &gate{slot: slot, link: l}, nil
}

// close closes the descriptors. That detaches a gate that is not pinned.
func (g *gate) close() error {
	errs := []error{g.slot.Close()}
	if g.link != nil {
		errs = append(errs, g.link.Close())
	}
	return errors.Join(errs...)
}

// remove detaches a gate that this process made.
func (g *gate) remove() error {
	if g.pin != "" {
		os.Remove(g.pin)
		os.Remove(g.pin + slotSuffix)
	}
	return g.close()
}

// attach attaches a program where spec's section says.
func attach(spec *ebpf.ProgramSpec, p *ebpf.Program) (link.Link, error) {
	switch spec.Type {
	case ebpf.Tracing:
		return link.AttachTracing(link.TracingOptions{Program: p, AttachType: spec.AttachType})
	case ebpf.LSM:
		return link.AttachLSM(link.LSMOptions{Program: p})
	case ebpf.RawTracepoint:
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: spec.AttachTo, Program: p})
	case ebpf.TracePoint:
		group, name, _ := strings.Cut(spec.AttachTo, "/")
		return link.Tracepoint(group, name, p, nil)
	default:
		if strings.HasPrefix(spec.SectionName, "kret") {
			return link.Kretprobe(spec.AttachTo, p, nil)
		}
		return link.Kprobe(spec.AttachTo, p, nil)
	}
}
