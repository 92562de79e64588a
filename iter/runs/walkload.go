package runs

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// LoadWalk loads the program of a walk, after set has changed its object.
type LoadWalk func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error)

// AddWalk makes a program of that name the one that walks trees. The first tree that is read loads it; if
// that fails, trees are read another way. The maps, which load needs, belong to the job.
func (j *Job) AddWalk(program string, maps map[string]*ebpf.Map, load LoadWalk) {
	w := &walk{program: program, open: load, shared: maps, piece: walkPiece}
	if j.runner.hierarchy.V1() {
		w.end()
		return
	}
	j.walk = w
}

// The maps in which a walk leaves its results, as bpf/include/walk.h and bpf/include/tree.h declare them.
const (
	walkNodes = "view_nodes"
	walkNames = "view_names"
	walkRows  = "view_rows"
)

// walkRoom is the memory of a walk.
type walkRoom struct{ nodes, names, rows uint64 } // of cgroups, of bytes

var firstRoom = walkRoom{nodes: 512, names: 512 * nameRoom, rows: 64 << 10}

const (
	keepNodes    = 65536 // memory for more is not kept
	keepRows     = 32 << 20
	nameRoom     = 64  // for a cgroup's name, on average
	longestName  = 256 // NAME_MAX and a NUL
	longestRows  = 32 << 10
	maxWalkBytes = 1 << 29 // the largest offset that the verifier takes
)

// above is room for a tree, from the status of a walk that found the room full.
func (room walkRoom) above(s walkStatus) walkRoom {
	nodes := uint64(max(s.Wanted, s.Nodes+1))
	nodes += nodes / 4
	enough := func(used uint32, longest uint64) uint64 {
		return uint64(used)*nodes/uint64(max(s.Nodes, 1)) + longest
	}
	return walkRoom{
		nodes: max(nodes, room.nodes),
		names: max(enough(s.Names, longestName), room.names),
		rows:  max(enough(s.Rows, longestRows), room.rows),
	}
}

// grow loads the program with more memory. Rows of more than limit bytes are not kept, so they get no room.
func (w *walk) grow(s walkStatus, limit int64) error {
	room := w.room.above(s)
	room.rows = min(room.rows, max(uint64(limit)+longestRows, w.room.rows))
	if room.names > maxWalkBytes || room.rows > maxWalkBytes {
		return errNoWalk
	}
	w.close()
	return w.load(room)
}

// load loads the program with memory for so much, if it is not loaded.
func (w *walk) load(room walkRoom) error {
	if w.loaded != nil {
		return nil
	}
	if w.refused != nil || w.open == nil {
		return errNoWalk
	}
	var err error
	w.loaded, err = w.open(func(spec *ebpf.CollectionSpec) error { return w.set(spec, room) })
	switch {
	case err == nil:
		w.room = room
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("load the program that walks trees: %w", err)
	}
	w.refused = err
	return errNoWalk
}

// set makes room in the maps, and tells the program.
func (w *walk) set(spec *ebpf.CollectionSpec, room walkRoom) error {
	values := map[string]any{
		"view_names_size": uint32(room.names), "view_rows_size": uint32(room.rows),
		"view_tree_page_size": uint32(os.Getpagesize()), "view_piece_nsec": uint64(w.piece),
	}
	for name, value := range values {
		if v := spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return err
			}
		}
	}
	for name, set := range map[string]func(m *ebpf.MapSpec){
		walkNodes: func(m *ebpf.MapSpec) { m.MaxEntries = uint32(room.nodes) },
		walkNames: func(m *ebpf.MapSpec) { m.ValueSize = uint32(room.names) },
		walkRows:  func(m *ebpf.MapSpec) { m.ValueSize = uint32(room.rows) },
	} {
		if m := spec.Maps[name]; m != nil {
			set(m)
		}
	}
	return nil
}

// forgetGiant gives back the memory that only a giant tree needed.
func (w *walk) forgetGiant() {
	if w.room.nodes > keepNodes || w.room.rows > keepRows {
		w.close()
	}
}

func (w *walk) close() {
	if w.loaded != nil {
		w.loaded.Close()
		w.loaded = nil
	}
}

// end is close for good.
func (w *walk) end() {
	if w == nil {
		return
	}
	w.close()
	for _, m := range w.shared {
		m.Close()
	}
}
