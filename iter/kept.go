package iter

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"bpfviewfs/iter/links"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"bpfviewfs/iter/state"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Programs remember things in kept maps (VIEW_KEPT in bpf/include/bpfview.h). Such a map does not make a view
// stateful. Nothing is attached, any number of servers may use the map at once, and a view that has lost it only
// forgets.

// keep opens the kept maps of an object, by name. They belong to the set. ids tells them from all other maps,
// because a program that was loaded with others is another program.
func (s *Set) keep(r *registry, o *programs.Object) (named map[string]*ebpf.Map, ids string, err error) {
	named, declared := make(map[string]*ebpf.Map), o.Kept()
	dir, readOnly := "", false
	if r != nil {
		dir, readOnly = filepath.Join(r.dir, programs.FlavourMark+"maps"), r.readOnly
		if err := sources.TrustPins(dir); err != nil {
			s.config.Logf("what views remember is this server's alone: %v", err)
			dir = ""
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		spec := o.Spec().Maps[name]
		pin := state.MapPin(spec)
		if s.kept[pin] == nil {
			m, err := state.Kept(dir, spec, readOnly)
			if err != nil {
				return nil, "", fmt.Errorf("open or make the map %s: %w", name, err)
			}
			if s.kept == nil {
				s.kept = make(map[string]*state.KeptMap)
			}
			m.ByCgroup = declared[name] == programs.KeptByCgroup
			s.kept[pin] = m
		}
		named[name] = s.kept[pin].Map
		id, err := links.MapID(named[name])
		if err != nil {
			return nil, "", fmt.Errorf("find the id of the map %s: %w", name, err)
		}
		ids += fmt.Sprintf(" %s=%d", name, id)
	}
	return named, ids, nil
}

// closeKept closes the maps. Pinned ones stay.
func (s *Set) closeKept() {
	for _, m := range s.kept {
		m.Close()
	}
}

// tidyTime is the time between two looks for entries of removed cgroups.
const tidyTime = 5 * time.Minute

// tidy removes the entries of cgroups that are gone, and were gone at the last call. A program that has found an
// entry may write it a moment later, so one of a cgroup that was removed just now stays.
func (s *Set) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return
	}
	number, err := s.hierarchy.Number()
	if err != nil {
		s.config.Logf("entries of removed cgroups stay: %v", err)
		return
	}
	lives := func(id uint64) bool { // or it cannot be told
		_, err := s.hierarchy.Stat(id)
		return !errors.Is(err, unix.ENOENT)
	}
	for _, m := range s.kept {
		if m.ByCgroup {
			m.Tidy(number, lives)
		}
	}
}
