package iter

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

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

// collectTree lists the cgroups of the tree, and runs the view for all of them.
func (r *run) collectTree(cgroup uint64) (err error) {
	listed := false
	if !r.hierarchy.V1() {
		listed, err = r.view.set.lister.list(r, cgroup)
	}
	if err == nil && !listed {
		err = r.list(cgroup)
	}
	if err != nil {
		return err
	}
	if r.view.tree != nil && r.view.Everywhere() {
		if err := r.collectPass(cgroup); !errors.Is(err, unix.E2BIG) {
			return err
		}
	}
	return r.collectEach()
}

// collectEach runs the view for one cgroup of the tree after the other.
func (r *run) collectEach() error {
	o := &r.output
	o.raw, o.parts = o.raw[:0], o.parts[:0]
	for i, n := range o.nodes {
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
		o.parts = append(o.parts, part{node: n, raw: from, rawEnd: len(raw)})
	}
	return nil
}
