package runs

import (
	"errors"
	"fmt"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/requests"
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
	if r.job.requests != nil && r.output.Len() > 1 {
		return r.collectAsked(cgroup, in)
	}
	return r.collectEach(in)
}

// collectAsked runs a program that asks for cgroups, once for all cgroups of the tree if that can be.
func (r *run) collectAsked(cgroup uint64, in func(cgroup uint64) error) error {
	why := r.job.rowless
	if why == "" {
		var refused bool
		err := r.collectRows(cgroup, in)
		if why, refused = errors.AsType[requests.Unsortable](err); !refused {
			return err
		}
	}
	err := r.collectEach(in)
	if errors.Is(err, unix.ETIMEDOUT) {
		return fmt.Errorf("%w: it goes through the whole machine for each of %d cgroups, because %w", err,
			r.output.Len(), why)
	}
	return err
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
	return errors.Join(err, r.output.Room.Take(int64(2*records.PartSize*r.output.Len()))) // also for the list
}

// collectEach runs the job for one cgroup of the tree after the other.
func (r *run) collectEach(in func(cgroup uint64) error) error {
	o := &r.output
	o.Clear()
	limit, begin := r.limit, time.Now()
	for i := range o.Len() {
		cgroup := o.Cgroup(i)
		err := r.overdue()
		if err == nil {
			err = r.hopeless(begin, i)
		}
		if err != nil {
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

// hopeless ends a tree early if its runs take so long that it would be cut off. done is how many cgroups were
// shown since begin.
func (r *run) hopeless(begin time.Time, done int) error {
	took, left := time.Since(begin), time.Until(r.deadline)
	if r.job.requests == nil || took < left/8 {
		return nil
	}
	if rest := took / time.Duration(max(done, 1)) * time.Duration(r.output.Len()-done); rest > 4*left {
		return errno.Errorf(unix.ETIMEDOUT, "it would take about %s more", rest.Round(time.Second))
	}
	return nil
}
