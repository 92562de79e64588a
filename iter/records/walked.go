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
	Cgroups, Names       io.ReaderAt
	NrCgroups, SizeNames int
}

// elementSize is the size of struct view_cgroup: serial number, id, level, beginning of the name, its size with a
// NUL, number of the pass.
const elementSize = 32

// Walked makes the tree from the list of a walk, without output. The first cgroup is the one to show.
func (o *Output) Walked(w Walked) error {
	o.Clear()
	o.walked = slices.Grow(o.walked[:0], w.NrCgroups*elementSize)[:w.NrCgroups*elementSize]
	o.names = slices.Grow(o.names[:0], w.SizeNames+1)[:w.SizeNames]
	o.cgroups = slices.Grow(o.cgroups[:0], w.NrCgroups)
	_, err := w.Cgroups.ReadAt(o.walked, 0)
	_, err2 := w.Names.ReadAt(o.names, 0)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("read the list of cgroups: %w", err)
	}
	o.parents = o.parents[:0]
	for i := range w.NrCgroups {
		n := o.walked[i*elementSize:][:elementSize]
		depth := int(binary.NativeEndian.Uint32(n[16:])) - int(
			binary.NativeEndian.Uint32(o.walked[16:]))
		name := int(binary.NativeEndian.Uint32(n[20:]))
		end := name + int(binary.NativeEndian.Uint32(n[24:])) - 1
		if depth < 0 || depth > len(o.parents) || depth == 0 != (i == 0) || name > end ||
			end > w.SizeNames {
			return errno.Errorf(unix.EIO,
				"the walk has cgroup %d of %d at depth %d below %d others",
				i, w.NrCgroups, depth, len(o.parents))
		}
		o.parents = append(o.parents[:depth], i)
		parent := 0
		if depth > 0 {
			parent = o.parents[depth-1]
		}
		id := binary.NativeEndian.Uint64(n[8:])
		o.cgroups = append(o.cgroups, listed{cgroup: id, parent: parent, name: name, nameEnd: end})
	}
	if len(o.cgroups) > 0 {
		o.cgroups[0].name, o.cgroups[0].nameEnd = len(o.names), len(o.names)+1
		o.names = append(o.names, '.')
	}
	return nil
}

// Shown makes the output about each cgroup of the list from the rows of a walk, size bytes in all. ends has a
// 64-bit number for each cgroup, the end of its rows.
func (o *Output) Shown(ends, rows io.ReaderAt, size int) error {
	count := len(o.cgroups)
	o.walked = slices.Grow(o.walked[:0], 8*count)[:8*count]
	o.raw, o.parts = slices.Grow(o.raw[:0], size)[:size], slices.Grow(o.parts[:0], count)
	_, err := ends.ReadAt(o.walked, 0)
	if err == nil && size > 0 {
		_, err = rows.ReadAt(o.raw, 0)
	}
	if err != nil {
		return fmt.Errorf("read what a walk has shown: %w", err)
	}
	from := 0
	for i := range count {
		end := int(binary.NativeEndian.Uint64(o.walked[8*i:]))
		if end < from || end > size {
			return errno.Errorf(unix.EIO, "the walk has rows of cgroup %d of %d end at %d of %d",
				i, count, end, size)
		}
		o.parts = append(o.parts, part{number: i, raw: from, rawEnd: end})
		from = end
	}
	return nil
}
