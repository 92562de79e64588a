package iter

import (
	"bytes"
	"fmt"
	iofs "io/fs"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// walkObject is no view, for it is in a directory. See bpf/walk/walk.bpf.c.
const walkObject = "walk/walk.bpf.o"

// walkers list the cgroups of a tree with a BPF program, 50 times as fast as by their directories. One lists for one
// reader at a time, and holds the list while the reader's view runs over it.
type walkers struct {
	spec *ebpf.CollectionSpec
	mu   sync.Mutex
	free []*walker
}

const (
	spareWalkers = 2
	firstNodes   = 4096
	maxNodes     = 999999 // cgroups in one walk: the kernel interrupts one that is silent for longer (MAX_ITER_OBJECTS)
	nodeSize     = 16
	nameRoom     = 64  // for a cgroup's name, on average
	longestName  = 256 // NAME_MAX and a NUL
)

// newWalkers takes the program from among the views' objects. Without it, or on a kernel that refuses it, trees are
// listed by their directories: the error is why.
func newWalkers(objects iofs.FS, cache *btf.Cache) (*walkers, error) {
	raw, err := iofs.ReadFile(objects, walkObject)
	if err != nil {
		return nil, fmt.Errorf("read the object that lists cgroups: %w", err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("parse the object that lists cgroups: %w", err)
	}
	w, err := newWalker(spec, firstNodes, firstNodes*nameRoom, cache)
	if err != nil {
		return nil, err
	}
	return &walkers{spec: spec, free: []*walker{w}}, nil
}

func (s *walkers) get() (*walker, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.free) - 1; last >= 0 {
		w := s.free[last]
		s.free = s.free[:last]
		return w, nil
	}
	return newWalker(s.spec, firstNodes, firstNodes*nameRoom, nil)
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
	if s == nil {
		return
	}
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
		if n.nodes > maxNodes {
			return nil, fmt.Errorf("%d cgroups are more than %d: %w", n.nodes, maxNodes, unix.EFBIG)
		}
		nodes, names := min(n.nodes+n.nodes/4, maxNodes), n.names+n.names/4+longestName
		w, err = newWalker(walkers.spec, max(nodes, w.room.nodes), max(names, w.room.names), nil)
		if err != nil {
			return nil, err
		}
	}
}
