package iter

import (
	"bytes"
	"encoding/binary"
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
// reader at a time, and holds the list while the reader's view runs over it.
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
	maxNodes     = 1 << 20 // cgroups in one walk: the kernel ends one that is silent for longer (MAX_ITER_OBJECTS)
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

// walker is the program and the memory that it fills.
type walker struct {
	coll         *ebpf.Collection
	nodes, names *ebpf.Memory
	room         needed
	used         int // nodes that are not zero
}

// needed is how much a walk takes.
type needed struct{ nodes, names uint32 }

func newWalker(spec *ebpf.CollectionSpec, nodes, names uint32) (*walker, error) {
	spec = spec.Copy()
	spec.Maps["walk_nodes"].MaxEntries = nodes
	spec.Maps["walk_names"].ValueSize = names
	if err := spec.Variables["names_size"].Set(names); err != nil {
		return nil, fmt.Errorf("load the program that lists cgroups: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load the program that lists cgroups: %w", err)
	}
	w := &walker{coll: coll, room: needed{nodes, names}}
	var err2 error
	w.nodes, err = coll.Maps["walk_nodes"].Memory()
	w.names, err2 = coll.Maps["walk_names"].Memory()
	if err := errors.Join(err, err2); err != nil {
		coll.Close()
		return nil, fmt.Errorf("map the list of cgroups: %w", err)
	}
	return w, nil
}

func (w *walker) close() { w.coll.Close() }

// walk lists a cgroup of a cgroup2 hierarchy and all below it, and tells what the list needed.
func (w *walker) walk(r *run, cgroup uint64) (n needed, err error) {
	nodes, names := w.coll.Variables["nodes_needed"], w.coll.Variables["names_needed"]
	if err := errors.Join(nodes.Set(uint32(0)), names.Set(uint32(0))); err != nil {
		return n, err
	}
	fd, err := openIterator(w.coll.Programs["walk"], cgroupByID(orders["descendants_pre"], cgroup))
	if errors.Is(err, unix.ENOENT) {
		return n, goneError{cgroup, unix.ENOENT}
	}
	if err != nil {
		return n, fmt.Errorf("link the iterator that lists cgroups: %w", err)
	}
	defer unix.Close(fd)
	if _, err := r.drain(fd, 0, nil); err != nil {
		return n, err
	}
	if err := errors.Join(nodes.Get(&n.nodes), names.Get(&n.names)); err != nil {
		return n, err
	}
	if n.nodes == 0 { // died between link and walk
		return n, goneError{cgroup, unix.ENOENT}
	}
	used := int(min(n.nodes, w.room.nodes))
	if used < w.used {
		if _, err := w.nodes.WriteAt(make([]byte, (w.used-used)*nodeSize), int64(used)*nodeSize); err != nil {
			return n, err
		}
	}
	w.used = used
	return n, nil
}

// list fills r.nodes from the program's memory.
func (w *walker) list(r *run) error {
	nodes := make([]byte, w.used*nodeSize)
	names := make([]byte, w.room.names)
	_, err := w.nodes.ReadAt(nodes, 0)
	_, err2 := w.names.ReadAt(names, 0)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	r.nodes = r.nodes[:0]
	var above []int // the nodes from the first to the last one's parent
	for i := range w.used {
		entry := nodes[i*nodeSize:]
		depth := int(binary.NativeEndian.Uint32(entry[8:])) - int(binary.NativeEndian.Uint32(nodes[8:]))
		name, _, _ := bytes.Cut(names[binary.NativeEndian.Uint32(entry[12:]):], []byte{0})
		if depth < 0 || depth > len(above) || depth == 0 != (i == 0) {
			return fmt.Errorf("cgroup %d of %d is at depth %d below %d others: %w", i, w.used, depth, len(above), unix.EIO)
		}
		above = append(above[:depth], i)
		if depth == 0 {
			r.addNode(binary.NativeEndian.Uint64(entry), nil, ".")
		} else {
			r.addNode(binary.NativeEndian.Uint64(entry), &r.nodes[above[depth-1]], string(name))
		}
	}
	return nil
}
