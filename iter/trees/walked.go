package trees

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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

// Tree makes the tree of the list. The first cgroup is the one to show.
func (w Walked) Tree() (*Tree, error) {
	elements := make([]byte, w.NrCgroups*elementSize)
	t := &Tree{cgroups: make([]listed, 0, w.NrCgroups), names: make([]byte, w.SizeNames, w.SizeNames+1)}
	_, err := w.Cgroups.ReadAt(elements, 0)
	_, err2 := w.Names.ReadAt(t.names, 0)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("read the list of cgroups: %w", err)
	}
	var above []int // the cgroups from the first to the parent of the last
	for i := range w.NrCgroups {
		n := elements[i*elementSize:][:elementSize]
		depth := int(binary.NativeEndian.Uint32(n[16:])) - int(
			binary.NativeEndian.Uint32(elements[16:]))
		name := int(binary.NativeEndian.Uint32(n[20:]))
		end := name + int(binary.NativeEndian.Uint32(n[24:])) - 1
		if depth < 0 || depth > len(above) || depth == 0 != (i == 0) || name > end ||
			end > w.SizeNames {
			return nil, errno.Errorf(unix.EIO,
				"the walk has cgroup %d of %d at depth %d below %d others",
				i, w.NrCgroups, depth, len(above))
		}
		above = append(above[:depth], i)
		t.list(binary.NativeEndian.Uint64(n[8:]), above[max(depth-1, 0)], name, end)
	}
	if len(t.cgroups) > 0 {
		t.names = append(t.names, '.')
		t.cgroups[0].name, t.cgroups[0].nameEnd = uint32(len(t.names)-1), uint32(len(t.names))
	}
	return t, nil
}
