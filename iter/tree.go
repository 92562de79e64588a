package iter

import (
	"context"
	"errors"

	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

func (v *View) renderTree(ctx context.Context, f records.Format, cgroup uint64, dst []byte) ([]byte, error) {
	if err := v.usable(f, v.TreeFormats()); err != nil {
		return nil, err
	}
	r := v.newRun(ctx, cgroup, true)
	defer r.release()
	if err := r.collectTree(cgroup); err != nil {
		return nil, err
	}
	return r.output.Render(f, dst)
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
	o.Clear()
	limit := r.limit
	for i := range o.Len() {
		cgroup := o.Cgroup(i)
		if err := r.overdue(); err != nil {
			return err
		}
		if err := r.view.In(cgroup); errors.Is(err, unix.ENOENT) {
			continue
		} else if err != nil {
			return err
		}
		r.limit = limit - int64(len(o.Bytes()))
		raw, err := r.collect(cgroup, o.Bytes())
		if i > 0 && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		o.Write(i, raw)
	}
	return nil
}
