package runs

import (
	"errors"
	"fmt"
	"maps"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Walker is the part of a view's object that walks trees.
type Walker struct {
	Program string
	Load    LoadWalk
	// Parse takes the object apart, for unions. The result is not kept, because most starts need no
	// trees.
	Parse func() (*ebpf.CollectionSpec, error)
	// Shared are the maps of the view's attached programs that the walk uses, by name.
	Shared map[string]*ebpf.Map
}

// LoadWalk loads the program of a walk, after set has changed its object.
type LoadWalk func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error)

// AddWalker lets the job walk trees. The first tree that is read loads the program; if that fails, trees are
// read another way. The shared maps belong to the job.
func (j *Job) AddWalker(w Walker) {
	j.walker = w
	if j.runner.hierarchy.V1() {
		return
	}
	j.walk = newWalk(w.Program, w.Load)
}

func newWalk(program string, open LoadWalk, views ...string) *walk {
	w := &walk{program: program, open: open, piece: walkPiece, views: views}
	w.first()
	return w
}

// first sets the room of the parts to its size before a tree is read.
func (w *walk) first() {
	w.parts = []walkPart{{room: firstRoom}}
	for _, v := range w.views {
		w.parts = append(w.parts, walkPart{view: v, room: firstRoom})
	}
}

// The maps and the variable in which a walk leaves its results, as walk.h and tree.h of bpf/include declare
// them.
const (
	walkNodes    = "view_nodes"
	walkNames    = "view_names"
	walkRows     = "view_rows"
	walkVariable = "view_walk"
)

// walkRoom is the memory of a part of a walk.
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

// above is room for a tree, from the status of a walk that found some room full. wanted is the number of
// cgroups that the tree has.
func (room walkRoom) above(s walkStatus, wanted uint32) walkRoom {
	nodes := uint64(max(wanted, s.Nodes+1))
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

// grow makes more room. Rows of more than limit bytes are not kept, so they get no room.
func (w *walk) grow(limit int64) error {
	for i := range w.parts {
		p := &w.parts[i]
		room := p.room.above(p.status, w.parts[0].status.Wanted)
		room.rows = min(room.rows, max(uint64(limit)+longestRows, p.room.rows))
		if room.names > maxWalkBytes || room.rows > maxWalkBytes {
			return errNoWalk
		}
		p.room = room
	}
	w.unload()
	return w.load()
}

// load loads the program with the memory of its parts, if it is not loaded.
func (w *walk) load() error {
	if w.loaded != nil {
		return nil
	}
	if w.refused != nil || w.open == nil {
		return errNoWalk
	}
	var err error
	w.loaded, err = w.open(w.set)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("load the program that walks trees: %w", err)
	}
	w.refused = err
	return errNoWalk
}

// set makes room in the maps, and tells the program.
func (w *walk) set(spec *ebpf.CollectionSpec) error {
	for i := range w.parts {
		p := &w.parts[i]
		for name, value := range map[string]any{
			"view_names_size": uint32(p.room.names), "view_rows_size": uint32(p.room.rows),
			"view_tree_page_size": uint32(os.Getpagesize()), "view_piece_nsec": uint64(w.piece),
		} {
			if v := spec.Variables[p.name(name)]; v != nil {
				if err := v.Set(value); err != nil {
					return err
				}
			}
		}
		for name, set := range map[string]func(m *ebpf.MapSpec){
			walkNodes: func(m *ebpf.MapSpec) { m.MaxEntries = uint32(p.room.nodes) },
			walkNames: func(m *ebpf.MapSpec) { m.ValueSize = uint32(p.room.names) },
			walkRows:  func(m *ebpf.MapSpec) { m.ValueSize = uint32(p.room.rows) },
		} {
			if m := spec.Maps[p.name(name)]; m != nil {
				set(m)
			}
		}
	}
	return nil
}

// forgetGiant gives back the memory that only a giant tree needed.
func (w *walk) forgetGiant() {
	for i := range w.parts {
		if room := w.parts[i].room; room.nodes > keepNodes || room.rows > keepRows {
			w.unload()
			w.first()
			return
		}
	}
}

func (w *walk) unload() {
	if w.loaded != nil {
		w.loaded.Close()
		w.loaded = nil
	}
}

// end unloads the program for good. It waits for its present reader. A nil walk has no program.
func (w *walk) end() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unload()
	w.refused = errNoWalk
}

// close closes the shared maps.
func (w *Walker) close() {
	for m := range maps.Values(w.Shared) {
		m.Close()
	}
}
