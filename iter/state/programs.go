package state

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"github.com/cilium/ebpf"
)

// namePrograms names the pins of all programs of a stateful view's object. They are kept beside their maps,
// so that the next start verifies nothing. A name has all that a program is made of. Programs that count in
// global variables have no pins, because they share the variables. They start anew with each load.
func (s *State) namePrograms(o *programs.Object, origin func(program string) programs.Origin) {
	if origin == nil {
		return
	}
	var counting []*ebpf.ProgramSpec
	for _, name := range o.Attached() {
		counting = append(counting, o.Spec().Programs[name])
	}
	for name := range programs.UsedMaps(counting...) {
		if strings.HasPrefix(name, ".bss") || strings.HasPrefix(name, ".data") {
			return
		}
	}
	s.programPins = make(map[string]string)
	for name := range o.Spec().Programs {
		if name != o.Walk() {
			s.programPins[name] = pinName("program", name, origin(name).Sum())
		}
	}
}

// takeAll takes the programs that are no iterators, if all of them are pinned.
func (s *State) takeAll(o *programs.Object) bool {
	s.programs = make(map[string]*ebpf.Program)
	for _, name := range o.Attached() {
		p := s.Pinned(name, o.Spec().Programs[name])
		if p == nil {
			closeAll(s.programs)
			return false
		}
		s.programs[name] = p
	}
	return true
}

// Pinned gives a program that is pinned, if it uses the very maps that are in use; else nil.
func (s *State) Pinned(name string, spec *ebpf.ProgramSpec) *ebpf.Program {
	pin := s.programPins[name]
	if pin == "" {
		return nil
	}
	p, err := ebpf.LoadPinnedProgram(filepath.Join(s.dir, pin), nil)
	if err != nil {
		return nil
	}
	if !s.usedBy(p, spec) { // the pin of a map was removed
		p.Close()
		return nil
	}
	return p
}

// usedBy reports whether a program uses the state's maps, under the names that spec has for them.
func (s *State) usedBy(p *ebpf.Program, spec *ebpf.ProgramSpec) bool {
	used, err := links.MapIDs(p)
	if err != nil {
		return false
	}
	for name := range programs.UsedMaps(spec) {
		if s.pins[name] == "" { // constants, or a map of the program alone
			continue
		}
		m := s.maps[name]
		if m == nil {
			return false
		}
		if id, err := links.MapID(m); err != nil || !slices.Contains(used, id) {
			return false
		}
	}
	return true
}

// Pin has an iterator pinned when all is attached. The view still owns it.
func (s *State) Pin(name string, iterator *ebpf.Program) {
	if s != nil && iterator != nil {
		s.iterators[name] = iterator
	}
}

// pinPrograms pins the programs that are not pinned yet.
func (s *State) pinPrograms(kept map[string]bool) error {
	for _, loaded := range []map[string]*ebpf.Program{s.programs, s.iterators} {
		for name, p := range loaded {
			pin := s.programPins[name]
			if pin == "" {
				continue
			}
			kept[pin] = true
			if p.IsPinned() {
				continue
			}
			path := filepath.Join(s.dir, pin)
			os.Remove(path) // the same with other maps
			if err := p.Pin(path); err != nil {
				return fmt.Errorf("pin program %s: %w", name, err)
			}
			s.pinned = append(s.pinned, path)
		}
	}
	return nil
}
