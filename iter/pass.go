package iter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// collectPass runs the view's tree flavour over all cgroups of the walk.
func (r *run) collectPass(w *walker, cgroup uint64) error {
	o := &r.output
	// The flavour cannot flush the kernel's statistics, which sleeps. Whatever the view flushes for the
	// topmost cgroup is flushed for all below.
	if r.view.cgroup != nil {
		_, err := r.once(cgroup, o.raw[:0])
		if err != nil && !errors.Is(err, unix.E2BIG) && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	fd, err := openIterator(r.view.tree, elementsOf(w.coll.Maps["walk_nodes"].FD()))
	if err != nil {
		return fmt.Errorf("link the tree iterator: %w", err)
	}
	defer unix.Close(fd)
	if o.raw, err = r.drainUntil(unix.EAGAIN, fd, 0, o.raw[:0]); err != nil {
		return err
	}
	return r.split()
}

// split finds the parts of the output. Each ends with struct view_tree_end of bpf/tree.h: the cgroup's id, and how many
// bytes were written about it. Cgroups that had died have none.
func (r *run) split() error {
	const endSize = 16
	o := &r.output
	i := len(o.nodes) - 1
	for end := len(o.raw); end > 0; i-- {
		if end < endSize {
			return fmt.Errorf("%d bytes before the first cgroup's output: %w", end, unix.EIO)
		}
		id, size := binary.NativeEndian.Uint64(o.raw[end-endSize:]), binary.NativeEndian.Uint64(o.raw[end-endSize+8:])
		end -= endSize
		for i >= 0 && o.nodes[i].cgroup != id {
			i--
		}
		if i < 0 || size > uint64(end) {
			return fmt.Errorf("output of %d bytes for cgroup %d, which is not in its place: %w", size, id, unix.EIO)
		}
		o.parts = append(o.parts, part{node: o.nodes[i], raw: end - int(size), rawEnd: end})
		end -= int(size)
	}
	slices.Reverse(o.parts)
	if len(o.parts) == 0 || o.parts[0].cgroup != o.nodes[0].cgroup {
		return goneError{o.nodes[0].cgroup, unix.ENOENT}
	}
	return nil
}
