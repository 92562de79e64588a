package records

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Shown makes the output about each cgroup of the list from the rows of a walk, size bytes in all. ends has a
// 64-bit number for each cgroup, the end of its rows.
func (o *Output) Shown(ends, rows io.ReaderAt, size int) error {
	count := o.Len()
	if err := o.Room.Take(int64(2*size + count*PartSize)); err != nil {
		return err
	}
	o.ends = slices.Grow(o.ends[:0], 8*count)[:8*count]
	o.raw, o.parts = slices.Grow(o.raw[:0], size)[:size], slices.Grow(o.parts[:0], count)
	_, err := ends.ReadAt(o.ends, 0)
	if err == nil && size > 0 {
		_, err = rows.ReadAt(o.raw, 0)
	}
	if err != nil {
		return fmt.Errorf("read what a walk has shown: %w", err)
	}
	from := 0
	for i := range count {
		end := int(binary.NativeEndian.Uint64(o.ends[8*i:]))
		if end < from || end > size {
			return errno.Errorf(unix.EIO, "the walk has rows of cgroup %d of %d end at %d of %d",
				i, count, end, size)
		}
		o.parts = append(o.parts, part{number: i, raw: from, rawEnd: end})
		from = end
	}
	return nil
}
