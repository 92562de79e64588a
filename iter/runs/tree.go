package runs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// collectTree lists the cgroups of the tree, and runs the job for those that in does not refuse.
func (r *run) collectTree(cgroup uint64, in func(cgroup uint64) error) error {
	if r.job.walk != nil && in == nil {
		if err := r.flush(cgroup); err != nil {
			return err
		}
		if err := r.job.walk.fill(cgroup, r); !errors.Is(err, errNoWalk) {
			return err
		}
	}
	if err := r.listTree(cgroup); err != nil {
		return err
	}
	if r.job.programs[PerTree] != nil && in == nil {
		if err := r.collectPass(cgroup); !errors.Is(err, unix.E2BIG) {
			return err
		}
	}
	if r.job.rows && in == nil && r.output.Len() > 1 {
		if err := r.collectRows(cgroup); !errors.Is(err, errNoRows) {
			return err
		}
	}
	return r.collectEach(in)
}

// listTree lists the cgroups of the tree.
func (r *run) listTree(cgroup uint64) (err error) {
	listed := false
	if !r.hierarchy.V1() {
		listed, err = r.job.runner.lister.list(r, cgroup)
	}
	if err == nil && !listed {
		err = r.list(cgroup)
	}
	return err
}

// collectEach runs the job for one cgroup of the tree after the other.
func (r *run) collectEach(in func(cgroup uint64) error) error {
	o := &r.output
	o.Clear()
	limit := r.limit
	for i := range o.Len() {
		cgroup := o.Cgroup(i)
		if err := r.overdue(); err != nil {
			return err
		}
		if in != nil {
			if err := in(cgroup); errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return err
			}
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
