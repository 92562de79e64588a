package iter

import (
	"context"
	"errors"
	"fmt"

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
		if err := r.view.In(n.cgroup); errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
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

// addNode appends a cgroup; parent is nil for the one that was asked for. Each path holds all names above it, so that a chain of
// cgroups would take memory by its length's square: paths, too, are bounded as the output is.
func (r *run) addNode(cgroup uint64, parent *node, name string) error {
	o := &r.output
	n := node{cgroup: cgroup, path: len(o.paths)}
	if parent != nil && parent != &r.nodes[0] {
		o.paths = append(append(o.paths, o.paths[parent.path:parent.pathEnd]...), '/')
	}
	o.paths = append(o.paths, name...)
	n.pathEnd = len(o.paths)
	r.nodes = append(r.nodes, n)
	if int64(len(o.paths)) > o.limit {
		return fmt.Errorf("the cgroups' paths: %w", tooLong(o.limit))
	}
	return nil
}
