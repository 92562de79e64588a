package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Walked is the list of cgroups in the memory that a walk over a tree has filled, as bpf/include/walk.h says.
type Walked struct {
	Nodes, Names       io.ReaderAt
	NrNodes, SizeNames int
}

// nodeSize is the size of struct view_node: serial number, id, level, the name's beginning and its size with
// a NUL, the number of the pass.
const nodeSize = 32

// Walked makes the tree from the list of a walk, without output. The first cgroup is the one to show.
func (o *Output) Walked(w Walked) error {
	o.Clear()
	o.walked = slices.Grow(o.walked[:0], w.NrNodes*nodeSize)[:w.NrNodes*nodeSize]
	o.names = slices.Grow(o.names[:0], w.SizeNames+1)[:w.SizeNames]
	o.nodes = slices.Grow(o.nodes[:0], w.NrNodes)
	_, err := w.Nodes.ReadAt(o.walked, 0)
	_, err2 := w.Names.ReadAt(o.names, 0)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("read the list of cgroups: %w", err)
	}
	o.parents = o.parents[:0]
	for i := range w.NrNodes {
		n := o.walked[i*nodeSize:][:nodeSize]
		depth := int(binary.NativeEndian.Uint32(n[16:])) - int(
			binary.NativeEndian.Uint32(o.walked[16:]))
		name := int(binary.NativeEndian.Uint32(n[20:]))
		end := name + int(binary.NativeEndian.Uint32(n[24:])) - 1
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
	}
	if len(o.nodes) > 0 {
		o.nodes[0].name, o.nodes[0].nameEnd = len(o.names), len(o.names)+1
		o.names = append(o.names, '.')
	}
	return nil
}

// Shown makes the output about each cgroup of the list from the rows of a walk, size bytes in all. ends has a
// 64-bit number for each cgroup, the end of its rows.
func (o *Output) Shown(ends, rows io.ReaderAt, size int) error {
	nodes := len(o.nodes)
	o.walked = slices.Grow(o.walked[:0], 8*nodes)[:8*nodes]
	o.raw, o.parts = slices.Grow(o.raw[:0], size)[:size], slices.Grow(o.parts[:0], nodes)
	_, err := ends.ReadAt(o.walked, 0)
	if err == nil && size > 0 {
		_, err = rows.ReadAt(o.raw, 0)
	}
	if err != nil {
		return fmt.Errorf("read what a walk has shown: %w", err)
	}
	from := 0
	for i := range nodes {
		end := int(binary.NativeEndian.Uint64(o.walked[8*i:]))
		if end < from || end > size {
			return errno.Errorf(unix.EIO, "the walk has rows of cgroup %d of %d end at %d of %d",
				i, nodes, end, size)
		}
		o.parts = append(o.parts, part{node: i, raw: from, rawEnd: end})
		from = end
	}
	return nil
}
