package iter

import (
	"cmp"
	"context"
	"errors"
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
	var err error
	if f == Prom {
		if o.label, err = v.set.label(cgroup); err != nil {
			return nil, err
		}
	}
	if err := r.list(cgroup); err != nil {
		return nil, err
	}
	if err := r.collectEach(); err != nil {
		return nil, err
	}
	return o.append(f, dst)
}

// collectEach runs the view for one cgroup of the tree after the other.
func (r *run) collectEach() error {
	o := &r.output
	for i, n := range r.nodes {
		if err := r.overdue(); err != nil {
			return err
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
