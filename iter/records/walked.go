package records

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Walked is the memory that a walk over a tree has filled, as bpf/include/walk.h says.
type Walked struct {
	Nodes, Names, Rows           io.ReaderAt // Rows are nil if nothing was shown
	NrNodes, SizeNames, SizeRows int
}

// nodeSize is the size of struct view_node: serial number, id, level, the name's beginning and its size with
// a NUL, the end of the rows, the number of the pass, padding.
const nodeSize = 40

// Walked makes the tree and the output from the result of a walk. The first cgroup is the one that was asked
// for.
func (o *Output) Walked(w Walked) error {
	o.walked = slices.Grow(o.walked[:0], w.NrNodes*nodeSize)[:w.NrNodes*nodeSize]
	o.names = slices.Grow(o.names[:0], w.SizeNames+1)[:w.SizeNames]
	o.nodes = slices.Grow(o.nodes[:0], w.NrNodes)
	o.raw, o.parts = slices.Grow(o.raw[:0], w.SizeRows)[:w.SizeRows], slices.Grow(o.parts[:0], w.NrNodes)
	if err := w.read(o); err != nil {
		return fmt.Errorf("read what the walk found: %w", err)
	}
	o.parents = o.parents[:0]
	rows := 0
	for i := range w.NrNodes {
		n := o.walked[i*nodeSize:][:nodeSize]
		depth := int(binary.NativeEndian.Uint32(n[16:])) - int(
			binary.NativeEndian.Uint32(o.walked[16:]))
		name := int(binary.NativeEndian.Uint32(n[20:]))
		end := name + int(binary.NativeEndian.Uint32(n[24:])) - 1
		rowsEnd := int(binary.NativeEndian.Uint32(n[28:]))
		if depth < 0 || depth > len(o.parents) || depth == 0 != (i == 0) || name > end ||
			end > w.SizeNames {
			return errno.Errorf(unix.EIO,
				"the walk has cgroup %d of %d at depth %d below %d others",
				i, w.NrNodes, depth, len(o.parents))
		}
		o.parents = append(o.parents[:depth], i)
		parent := 0
		if depth > 0 {
			parent = o.parents[depth-1]
		}
		id := binary.NativeEndian.Uint64(n[8:])
		o.nodes = append(o.nodes, node{cgroup: id, parent: parent, name: name, nameEnd: end})
		if w.Rows == nil {
			continue
		}
		if rowsEnd < rows || rowsEnd > len(o.raw) {
			return errno.Errorf(unix.EIO, "the walk has rows of cgroup %d of %d end at %d of %d",
				i, w.NrNodes, rowsEnd, len(o.raw))
		}
		o.parts = append(o.parts, part{node: i, raw: rows, rawEnd: rowsEnd})
		rows = rowsEnd
	}
	if len(o.nodes) > 0 {
		o.nodes[0].name, o.nodes[0].nameEnd = len(o.names), len(o.names)+1
		o.names = append(o.names, '.')
	}
	return nil
}

func (w *Walked) read(o *Output) error {
	if _, err := w.Nodes.ReadAt(o.walked, 0); err != nil {
		return err
	}
	if _, err := w.Names.ReadAt(o.names, 0); err != nil {
		return err
	}
	if len(o.raw) == 0 { // a view that shows nothing of any cgroup
		return nil
	}
	_, err := w.Rows.ReadAt(o.raw, 0)
	return err
}
