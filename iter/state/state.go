// Package state keeps the counts of stateful views. A state has the programs of an object that are no
// iterators, and the maps that they share with the iterators.
//
// The program attached to the kernel is a gate, a small one that goes on to the object's program by a tail
// call. A new object takes over with one update of the gate's slot. So each event is seen by the old program
// or by the new one. Gates, maps and programs are pinned in the view's directory. Their names have all that
// must be equal for them to be used again. They outlive this process until [Uses.Remove]. A map with another
// type starts anew.
//
// [Load] loads the programs or finds them pinned, [State.Attach] pins and attaches them. [Uses] tells which
// mounts use a view's state, also between two servers of one mount.
package state

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfviewfs/iter/programs"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// State is the part of a stateful view that lives on between its runs. It has the attached programs, and the
// maps that they share with the iterator.
//
// With a directory in a bpffs, links and maps are pinned there and outlive both the process and the object.
// The next load, of the same object or another one, finds them by their names, which have all that must be
// equal. So an object with another type of one map starts that map anew, and keeps the others.
type State struct {
	dir      string // "" if nothing is pinned
	specs    map[string]*ebpf.ProgramSpec
	programs map[string]*ebpf.Program
	maps     map[string]*ebpf.Map
	pins     map[string]string // names of the maps' pins, by map
	gates    []*gate
	pinned   []string // paths of the pins of this process
	lock     *os.File // of dir, shared by all that use it (see Remove)
	use      func() error

	found bool        // all of it is pinned, and was found
	seen  os.FileInfo // of dir, in Wait

	programPins map[string]string        // names of the programs' pins, by program; see namePrograms
	iterators   map[string]*ebpf.Program // of the view, to be pinned
}

// Load loads the programs of an object that are no iterators, and attaches nothing. dir is where the state is
// kept, "" to keep it with this process. origin gives the origin of a program; it may be nil. use, if not
// nil, marks the view as used.
func Load(o *programs.Object, origin func(program string) programs.Origin, dir string, use func() error,
	cache *btf.Cache) (*State, error) {
	s := &State{
		dir: dir, use: use, specs: maps.Clone(o.Spec().Programs), pins: make(map[string]string),
		maps: make(map[string]*ebpf.Map), iterators: make(map[string]*ebpf.Program),
	}
	maps.DeleteFunc(s.specs, func(name string, _ *ebpf.ProgramSpec) bool {
		return !slices.Contains(o.Attached(), name)
	})
	if dir != "" {
		for name := range programs.UsedMaps(slices.Collect(maps.Values(s.specs))...) {
			// Global variables start anew. A map that is pinned by its name belongs to the
			// program that pinned it.
			if strings.HasPrefix(name, ".") || o.IsShared(name) {
				continue
			}
			s.pins[name] = MapPin(o.Spec().Maps[name])
			if m, err := ebpf.LoadPinnedMap(filepath.Join(dir, s.pins[name]), nil); err == nil {
				s.maps[name] = m
			}
		}
		s.namePrograms(o, origin)
		if s.found = s.takeAll(o); s.found {
			return s, nil
		}
	}
	kept := s.maps
	defer closeAll(kept)
	coll, err := o.Load(kept, cache, o.Attached()...)
	if err != nil {
		return nil, err
	}
	s.programs, s.maps = coll.Programs, coll.Maps
	return s, nil
}

// Maps gives the maps that iterators of the same object have to use; nil for an object without state.
func (s *State) Maps() map[string]*ebpf.Map {
	if s == nil {
		return nil
	}
	return s.maps
}

// Attach lets the programs see events from now on. On an error all is as it was.
func (s *State) Attach() (err error) {
	if s == nil {
		return nil
	}
	kept := make(map[string]bool)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.undo())
		}
	}()
	if err := s.pinMaps(kept); err != nil {
		return err
	}
	if err := s.pinPrograms(kept); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.programs)) {
		path := ""
		if s.dir != "" {
			pin := programPin(s.specs[name])
			kept[pin], kept[pin+slotSuffix] = true, true
			path = filepath.Join(s.dir, pin)
		}
		g, err := openGate(s.specs[name], path)
		if err != nil {
			return err
		}
		s.gates = append(s.gates, g)
	}
	// Nothing below fails because of the program, since a slot is named after its kind of program.
	for i, name := range slices.Sorted(maps.Keys(s.programs)) {
		if err := s.gates[i].slot.Put(uint32(0), s.programs[name]); err != nil {
			return fmt.Errorf("put program %s in its slot: %w", name, err)
		}
	}
	return s.settle(kept)
}

// ErrOther says that another object counts now, or none does.
var ErrOther = errors.New("its programs that count are not those of the server that serves")

// Wait is Attach for a process that may have to go on in place of another one, which has attached the
// programs. It changes nothing, and the state can still be removed. See Hold.
func (s *State) Wait() error {
	if s == nil {
		return nil
	}
	closeAll(s.programs)
	closeAll(s.maps)
	s.programs, s.maps, s.iterators = nil, nil, nil
	if !s.found {
		return ErrOther
	}
	var err error
	if s.seen, err = os.Stat(s.dir); err != nil {
		return fmt.Errorf("look at the view's state: %w", err)
	}
	return nil
}

// Hold keeps the state from being removed, after Wait. Attach does so, too. The error is ErrOther if the state
// has been removed since Wait, for example with its bpffs.
func (s *State) Hold() (err error) {
	if s == nil || s.lock != nil || s.dir == "" {
		return nil
	}
	if s.lock, err = Lock(s.dir, unix.LOCK_SH); err != nil || s.seen == nil {
		return err
	}
	now, err := s.lock.Stat()
	if err == nil && !os.SameFile(now, s.seen) {
		err = ErrOther
	}
	return err
}

// Outlives reports whether all of the state is pinned, so that another process finds it without loading a
// program.
func (s *State) Outlives() bool { return s == nil || s.programPins != nil }

// pinMaps pins the maps that are not pinned yet.
func (s *State) pinMaps(kept map[string]bool) error {
	if s.dir == "" {
		return nil
	}
	err := s.Hold()
	if err == nil && s.use != nil {
		err = s.use()
	}
	if err != nil {
		return err
	}
	for name, pin := range s.pins {
		kept[pin] = true
		path := filepath.Join(s.dir, pin)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := s.maps[name].Pin(path); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
		s.pinned = append(s.pinned, path)
	}
	return nil
}

// settle removes the pins of an earlier object that this one does not use, and closes the descriptors that
// pins hold.
func (s *State) settle(kept map[string]bool) error {
	closeAll(s.programs)
	closeAll(s.maps)
	s.programs, s.maps, s.iterators = nil, nil, nil
	if s.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list the view's state: %w", err)
	}
	for _, e := range entries {
		if !kept[e.Name()] {
			unpin(filepath.Join(s.dir, e.Name()))
		}
	}
	lock := s.lock
	s.lock = nil
	defer func() { s.lock = lock }()
	return s.Close()
}

// undo detaches and unpins the work of a failed Attach.
func (s *State) undo() error {
	var errs []error
	for _, path := range s.pinned {
		errs = append(errs, os.Remove(path))
	}
	for _, g := range s.gates {
		if g.link != nil {
			errs = append(errs, g.remove())
		} else {
			errs = append(errs, g.close())
		}
	}
	s.gates = nil
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
		os.Remove(s.dir) // if it was made for nothing
	}
	return errors.Join(errs...)
}

// Programs are those that see events now. The caller closes them.
func (s *State) Programs() ([]*ebpf.Program, error) {
	var seeing []*ebpf.Program
	for _, g := range s.gates {
		var p *ebpf.Program
		if err := g.slot.Lookup(uint32(0), &p); err != nil {
			return seeing, fmt.Errorf("open an attached program: %w", err)
		}
		seeing = append(seeing, p)
	}
	return seeing, nil
}

// Close closes the descriptors of this process. Pinned programs go on.
func (s *State) Close() error {
	if s == nil {
		return nil
	}
	closeAll(s.programs)
	closeAll(s.maps)
	var errs []error
	for _, g := range s.gates {
		errs = append(errs, g.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	s.programs, s.maps, s.gates, s.lock = nil, nil, nil, nil
	return errors.Join(errs...)
}

func closeAll[T interface{ Close() error }](all map[string]T) {
	for _, c := range all {
		c.Close()
	}
}
