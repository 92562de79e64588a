package iter

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// state is the part of a stateful view that lives on between its runs: programs that are attached, and the maps that
// they share with the iterator.
//
// Where it has a directory in a bpffs, links and maps are pinned there and outlive both the process and the object: the
// next load, of the same object or of another, finds them by names that say all that must be equal for them to be
// used again. So an object whose map has another type starts that map anew, and keeps the others.
type state struct {
	dir      string // "" if nothing is pinned
	specs    map[string]*ebpf.ProgramSpec
	programs map[string]*ebpf.Program
	maps     map[string]*ebpf.Map
	pins     map[string]string // of maps: the pin's name by the map's
	gates    []*gate
	pinned   []string // paths of the maps that this process pinned
	lock     *os.File // of dir, shared by all that use it: see forgetState
}

// loadState loads the programs that are no iterators, and attaches nothing.
func (o *object) loadState(dir string, cache *btf.Cache) (*state, error) {
	s := &state{dir: dir, specs: maps.Clone(o.spec.Programs), pins: make(map[string]string)}
	maps.DeleteFunc(s.specs, func(name string, _ *ebpf.ProgramSpec) bool { return !slices.Contains(o.attached, name) })
	kept := make(map[string]*ebpf.Map)
	defer closeAll(kept)
	if dir != "" {
		for name := range usedMaps(s.specs) {
			if strings.HasPrefix(name, ".") { // global variables start anew
				continue
			}
			s.pins[name] = mapPin(o.spec.Maps[name])
			if m, err := ebpf.LoadPinnedMap(filepath.Join(dir, s.pins[name]), nil); err == nil {
				kept[name] = m
			}
		}
	}
	coll, err := o.load(kept, cache, o.attached...)
	if err != nil {
		return nil, err
	}
	s.programs, s.maps = coll.Programs, coll.Maps
	return s, nil
}

// shared gives the maps that iterators of the same object have to use.
func (s *state) shared() map[string]*ebpf.Map {
	if s == nil {
		return nil
	}
	return s.maps
}

// attach lets the programs see events from now on. On an error all is as it was.
func (s *state) attach() (err error) {
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
	// Nothing below fails for the program's sake: a slot takes what it was named after.
	for i, name := range slices.Sorted(maps.Keys(s.programs)) {
		if err := s.gates[i].slot.Put(uint32(0), s.programs[name]); err != nil {
			return fmt.Errorf("put program %s in its slot: %w", name, err)
		}
	}
	return s.settle(kept)
}

// pinMaps pins the maps that are not pinned yet.
func (s *state) pinMaps(kept map[string]bool) error {
	if s.dir == "" {
		return nil
	}
	var err error
	if s.lock, err = lockState(s.dir); err != nil {
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

// settle ends what an earlier object left and this one has no use for, and gives back what the pins hold.
func (s *state) settle(kept map[string]bool) error {
	closeAll(s.programs)
	closeAll(s.maps)
	s.programs, s.maps = nil, nil
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
	return s.close()
}

// undo detaches what attach attached, and unpins what it pinned.
func (s *state) undo() error {
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

// close gives back what this process holds. What is pinned goes on.
func (s *state) close() error {
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

// lockState makes the directory, and keeps forgetState from removing it.
func lockState(dir string) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for the view's state: %w", err)
		}
		lock, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) { // removed just now
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open the view's state: %w", err)
		}
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_SH); err != nil {
			return nil, errors.Join(fmt.Errorf("lock the view's state: %w", err), lock.Close())
		}
		ours, err1 := lock.Stat()
		there, err2 := os.Stat(dir)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return lock, nil
		}
		lock.Close() // it was removed before it was locked
	}
}

// forgetState detaches the programs of a view that is disabled or gone, and frees its maps, unless somebody else uses
// them: another mount has the same view, or the server that takes over from this one.
func forgetState(dir string) error {
	lock, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open a view's state: %w", err)
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list a view's state: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, unpin(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(append(errs, os.Remove(dir))...); err != nil {
		return fmt.Errorf("remove a view's state: %w", err)
	}
	return nil
}

// unpin removes a pin. The kernel takes a link whose pin is gone away in its own time: emptying the slot stops its program
// at once.
func unpin(path string) error {
	if strings.HasSuffix(path, slotSuffix) {
		if slot, err := ebpf.LoadPinnedMap(path, nil); err == nil {
			slot.Delete(uint32(0))
			slot.Close()
		}
	}
	return os.Remove(path)
}

func closeAll[T interface{ Close() error }](all map[string]T) {
	for _, c := range all {
		c.Close()
	}
}

// mapPin names a map by all that makes it fit for a program: kind, sizes, flags, and the types of key and value.
func mapPin(m *ebpf.MapSpec) string {
	return pinName("map", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, layout(m.Key), layout(m.Value))
}

// programPin names a program by what it is attached to.
func programPin(p *ebpf.ProgramSpec) string {
	return pinName("link", p.Name, p.Type, p.AttachType, p.AttachTo, p.SectionName)
}

// pinName is a name that bpffs takes: no dots.
func pinName(kind, name string, properties ...any) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q", properties)
	return fmt.Sprintf("%s_%s_%016x", kind, name, h.Sum64())
}

// layout spells a type out, members and all.
func layout(t btf.Type) string {
	if t == nil {
		return ""
	}
	text, err := new(btf.GoFormatter).TypeDeclaration("t", t)
	if err != nil { // bit fields, say
		return fmt.Sprintf("%+10v", t)
	}
	return text
}
