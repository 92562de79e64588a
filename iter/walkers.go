package iter

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// walkObject is no view, for it is in a directory. See bpf/walk/walk.bpf.c.
const walkObject = "walk/walk.bpf.o"

// walkers list the cgroups of a tree with a BPF program, 50 times as fast as by their directories. One lists for one
// reader at a time.
type walkers struct {
	objects iofs.FS // has the program

	mu      sync.Mutex
	spec    *ebpf.CollectionSpec // nil before the first tree is read: starts are quick
	refused error                // why there is none
	free    []*walker
}

const (
	spareWalkers = 2
	firstNodes   = 4096
	maxNodes     = 999999 // cgroups in one walk: the kernel interrupts one that is silent for longer (MAX_ITER_OBJECTS)
	nodeSize     = 16
	nameRoom     = 64  // for a cgroup's name, on average
	longestName  = 256 // NAME_MAX and a NUL
)

// get gives a walker, to be put back. Its error is why trees are listed by their directories here: this kernel
// refuses the program, or there is none.
func (s *walkers) get() (*walker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		w := s.free[last]
		s.free = s.free[:last]
		return w, nil
	}
	if s.refused == nil && s.spec == nil {
		s.spec, s.refused = parseWalker(s.objects)
	}
	if s.refused != nil {
		return nil, s.refused
	}
	w, err := newWalker(s.spec, firstNodes, firstNodes*nameRoom)
	if err != nil && !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) {
		s.refused = err
	}
	return w, err
}

func parseWalker(objects iofs.FS) (*ebpf.CollectionSpec, error) {
	if objects == nil {
		return nil, fmt.Errorf("no object that lists cgroups: %w", unix.ENOENT)
	}
	raw, err := iofs.ReadFile(objects, walkObject)
	if err != nil {
		return nil, fmt.Errorf("read the object that lists cgroups: %w", err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("parse the object that lists cgroups: %w", err)
	}
	return spec, nil
}

func (s *walkers) put(w *walker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < spareWalkers {
		s.free = append(s.free, w)
		return
	}
	w.close()
}

func (s *walkers) close() {
	for _, w := range s.free {
		w.close()
	}
}

// walk lists the tree with w, or with a greater one, which it then gives back in its place.
func (r *run) walk(walkers *walkers, w *walker, cgroup uint64) (*walker, error) {
	for {
		n, err := w.walk(r, cgroup)
		if err == nil && n.nodes <= w.room.nodes && n.names <= w.room.names {
			if err = w.list(r); err == nil {
				return w, nil
			}
		}
		if err != nil {
			walkers.put(w)
			return nil, err
		}
		w.close()
		nodes, names := min(n.nodes+n.nodes/4, maxNodes), n.names+n.names/4+longestName
		w, err = newWalker(walkers.spec, max(nodes, w.room.nodes), max(names, w.room.names))
		if err != nil {
			return nil, err
		}
	}
}
