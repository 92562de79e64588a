package iter

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// node is a cgroup of a tree that is read.
type node struct {
	cgroup        uint64
	path, pathEnd int // in the output's paths
}

func (v *View) renderTree(ctx context.Context, f Format, cgroup uint64, dst []byte) ([]byte, error) {
	if err := v.usable(f, v.TreeFormats()); err != nil {
		return nil, err
	}
	r := v.newRun(ctx, cgroup)
	defer r.release()
	o := &r.output
	o.tree = true
	if err := r.collectTree(cgroup); err != nil {
		return nil, err
	}
	return o.append(f, dst)
}

// collectTree runs the view for all cgroups of the tree, in one pass if it can.
func (r *run) collectTree(cgroup uint64) error {
	walkers := &r.view.set.walkers
	if r.hierarchy.V1() {
		return r.collectListed(cgroup)
	}
	w, err := walkers.get()
	if err != nil {
		return r.collectListed(cgroup)
	}
	if w, err = r.walk(walkers, w, cgroup); err != nil {
		return err
	}
	if r.view.tree == nil || !r.view.Everywhere() {
		walkers.put(w)
		return r.collectEach()
	}
	defer walkers.put(w)
	err = r.collectPass(w, cgroup)
	if errors.Is(err, unix.E2BIG) {
		return r.collectEach()
	}
	return err
}

// walk lists the tree with w, or with a greater one, which it then gives back in its place.
func (r *run) walk(walkers *walkers, w *walker, cgroup uint64) (*walker, error) {
	for {
		n, err := w.walk(r, cgroup)
		if err == nil && n.nodes <= w.room.nodes && n.names <= w.room.names {
			if err = w.list(r); err == nil {
				return w, nil
			}
		}
		if err != nil {
			walkers.put(w)
			return nil, err
		}
		w.close()
		if n.nodes > maxNodes {
			return nil, fmt.Errorf("%d cgroups are more than %d: %w", n.nodes, maxNodes, unix.EFBIG)
		}
		nodes, names := min(n.nodes+n.nodes/4, maxNodes), n.names+n.names/4+longestName
		w, err = newWalker(walkers.spec, max(nodes, w.room.nodes), max(names, w.room.names))
		if err != nil {
			return nil, err
		}
	}
}

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
	if o.raw, err = r.drain(fd, 0, o.raw[:0]); err != nil {
		return err
	}
	return r.split()
}

// split finds the parts of the output. Each ends with struct view_tree_end of bpf/tree.h: the cgroup's id, and how many
// bytes were written about it. Cgroups that had died have none.
func (r *run) split() error {
	const endSize = 16
	o := &r.output
	i := len(r.nodes) - 1
	for end := len(o.raw); end > 0; i-- {
		if end < endSize {
			return fmt.Errorf("%d bytes before the first cgroup's output: %w", end, unix.EIO)
		}
		id, size := binary.NativeEndian.Uint64(o.raw[end-endSize:]), binary.NativeEndian.Uint64(o.raw[end-endSize+8:])
		end -= endSize
		for i >= 0 && r.nodes[i].cgroup != id {
			i--
		}
		if i < 0 || size > uint64(end) {
			return fmt.Errorf("output of %d bytes for cgroup %d, which is not in its place: %w", size, id, unix.EIO)
		}
		n := r.nodes[i]
		o.parts = append(o.parts, part{cgroup: id, path: n.path, pathEnd: n.pathEnd, raw: end - int(size), rawEnd: end})
		end -= int(size)
	}
	slices.Reverse(o.parts)
	if len(o.parts) == 0 || o.parts[0].cgroup != r.nodes[0].cgroup {
		return goneError{r.nodes[0].cgroup, unix.ENOENT}
	}
	return nil
}

// collectListed runs the view for one cgroup of the tree after the other, as their directories list them.
func (r *run) collectListed(cgroup uint64) error {
	if err := r.list(cgroup); err != nil {
		return err
	}
	return r.collectEach()
}

// collectEach runs the view for one cgroup of the tree after the other.
func (r *run) collectEach() error {
	o := &r.output
	for i, n := range r.nodes {
		if err := r.overdue(); err != nil {
			return err
		}
		if r.view.In(n.cgroup) != nil {
			continue
		}
		from := len(o.raw)
		r.limit = o.limit - int64(from)
		raw, err := r.collect(n.cgroup, o.raw)
		if i > 0 && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		o.raw = raw
		o.parts = append(o.parts, part{cgroup: n.cgroup, path: n.path, pathEnd: n.pathEnd, raw: from, rawEnd: len(raw)})
	}
	return nil
}

// list fills r.nodes with the cgroup and all below it, in pre-order, by reading directories.
func (r *run) list(cgroup uint64) error {
	r.nodes = r.nodes[:0]
	r.addNode(cgroup, nil, ".")
	return asENOENT(r.listChildren(0))
}

func (r *run) listChildren(parent int) error {
	if err := r.overdue(); err != nil {
		return err
	}
	type child struct {
		id   uint64
		name string
	}
	var children []child
	err := r.hierarchy.Children(r.nodes[parent].cgroup, func(id uint64, name string) {
		children = append(children, child{id, name})
	})
	if err != nil {
		return err
	}
	slices.SortFunc(children, func(a, b child) int { return cmp.Compare(a.id, b.id) })
	for _, c := range children {
		r.addNode(c.id, &r.nodes[parent], c.name)
		err := r.listChildren(len(r.nodes) - 1)
		if err != nil && !errors.Is(err, unix.ESTALE) {
			return err
		}
	}
	return nil
}

// addNode appends a cgroup; parent is nil for the one that was asked for.
func (r *run) addNode(cgroup uint64, parent *node, name string) {
	o := &r.output
	n := node{cgroup: cgroup, path: len(o.paths)}
	if parent != nil && parent != &r.nodes[0] {
		o.paths = append(append(o.paths, o.paths[parent.path:parent.pathEnd]...), '/')
	}
	o.paths = append(o.paths, name...)
	n.pathEnd = len(o.paths)
	r.nodes = append(r.nodes, n)
}
