package records

import (
	"encoding/binary"
	"slices"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Split takes raw, which is Bytes with the output of a tree's program at its end. The program was run for
// count nodes from first on, in order. The output about each ends with struct view_tree_end of
// bpf/include/tree.h, which has the cgroup's id and the number of bytes. A cgroup that had died has none.
func (o *Output) Split(raw []byte, first, count int) error {
	const endSize = 16
	from, parts := len(o.raw), len(o.parts)
	o.raw = raw
	i := first + count - 1
	for end := len(raw); end > from; i-- {
		if end-from < endSize {
			return errno.Errorf(unix.EIO, "%d bytes before the first cgroup's output", end-from)
		}
		id, size := binary.NativeEndian.Uint64(raw[end-endSize:]),
			binary.NativeEndian.Uint64(raw[end-endSize+8:])
		end -= endSize
		for i >= first && o.Cgroup(i) != id {
			i--
		}
		if i < first || size > uint64(end-from) {
			return errno.Errorf(unix.EIO,
				"output of %d bytes for cgroup %d, which is not in its place",
				size, id)
		}
		o.parts = append(o.parts, part{node: i, raw: end - int(size), rawEnd: end})
		end -= int(size)
	}
	slices.Reverse(o.parts[parts:])
	return nil
}
