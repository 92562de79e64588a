package runs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/room"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// run is the state of one run. It is pooled, so a run allocates only the growth of its output.
type run struct {
	ctx       context.Context
	job       *Job
	hierarchy *cgroups.Hierarchy
	deadline  time.Time
	limit     int64

	buf    [readSize]byte
	output records.Output
	ids    []uint32      // of processes or threads
	here   []uint32      // threads of the cgroup
	apart  bool          // threads of one process may live in different cgroups
	asked  []holder      // of one process
	starts []int         // of the output of each member that has any
	batch  batch         // of a tree's cgroups
	skew   time.Duration // of a union's walk
	rights Rights        // of a tree's reader
	bits   []uint32      // permissions in each cgroup of the tree, if the list told
}

// readSize is above the 32 KiB that the kernel keeps for a walk, because a smaller read cuts the walk short.
const readSize = 64 << 10

var pool = sync.Pool{New: func() any { return new(run) }}

func (j *Job) begin(ctx context.Context, cgroup uint64, tree bool) *run {
	r := pool.Get().(*run)
	r.ctx, r.job, r.hierarchy, r.limit = ctx, j, j.runner.hierarchy, j.runner.maxRun
	r.deadline = time.Now().Add(j.runner.timeout)
	r.output.Room.Begin(ctx)
	r.output.Begin(j.view, j.typ, cgroup, tree, r.limit)
	return r
}

// release puts the run back, without the memory that only a giant one needed.
func (r *run) release() {
	const keep = 1 << 20 // bytes
	r.ctx, r.job, r.hierarchy, r.rights = nil, nil, nil, nil
	r.bits = room.Within(r.bits, keep)[:0]
	r.output.End()
	r.ids, r.here = room.Within(r.ids, keep), room.Within(r.here, keep)
	r.asked, r.starts = room.Within(r.asked, keep), room.Within(r.starts, keep)
	pool.Put(r)
}

// collect appends the output of the job's programs about the cgroup, with the flavour that fits.
func (r *run) collect(cgroup uint64, dst []byte) (out []byte, err error) {
	j := r.job
	switch {
	case j.link != nil:
		out, err = r.linked(dst)
	case j.programs[Whole] != nil:
		out, err = r.everything(cgroup, dst)
	case j.programs[PerCgroup] == nil || j.programs[PerTask] != nil && r.hierarchy.V1():
		return r.perTask(cgroup, dst)
	default:
		out, err = r.once(cgroup, dst)
		if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.EOPNOTSUPP) {
			if j.programs[PerTask] == nil {
				return nil, j.Explain(err)
			}
			return r.perTask(cgroup, dst)
		}
		if len(out) > len(dst) {
			return out, nil
		}
	}
	if err == nil { // nothing, or a header alone, is an answer if the cgroup is there
		_, err = r.hierarchy.Stat(cgroup)
	}
	return out, err
}

// once runs the program about one cgroup.
func (r *run) once(cgroup uint64, dst []byte) ([]byte, error) {
	argument, t := cgroup, links.Cgroup(r.job.order, cgroup)
	if r.hierarchy.V1() {
		dir, err := r.hierarchy.Directory(cgroup)
		if err != nil {
			return nil, err
		}
		defer unix.Close(dir)
		argument, t = uint64(dir), links.CgroupDir(r.job.order, dir)
	}
	if r.job.programs[PerCall] != nil {
		return r.call(argument, dst)
	}
	fd, err := links.Open(r.job.programs[PerCgroup], t)
	if errors.Is(err, unix.ENOENT) {
		return nil, cgroups.Gone(cgroup)
	}
	if err != nil {
		return nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, len(dst), dst)
}

// call is once without a link.
func (r *run) call(argument uint64, dst []byte) ([]byte, error) {
	if err := r.overdue(); err != nil {
		return nil, err
	}
	fd, n, err := r.job.caller.Call(argument, r.buf[:])
	if err == unix.EINTR || err == unix.EAGAIN {
		return r.call(argument, dst)
	}
	if err != nil {
		return nil, readError(err)
	}
	defer unix.Close(fd)
	from := len(dst)
	if dst, err = r.keep(n, from, dst); err != nil || n < len(r.buf) { // the program is called once
		return dst, err
	}
	return r.drain(fd, from, dst)
}

// linked reads a foreign link.
func (r *run) linked(dst []byte) ([]byte, error) {
	fd, err := links.Iterate(r.job.link.FD())
	if err != nil {
		return nil, fmt.Errorf("make an iterator of the pinned link: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, len(dst), dst)
}

// drain appends all that the iterator gives to dst. The output of the run begins at from.
func (r *run) drain(fd, from int, dst []byte) ([]byte, error) {
	for {
		n, err := r.readSome(fd, len(r.buf))
		if err != nil || n == 0 {
			return dst, err
		}
		if dst, err = r.keep(n, from, dst); err != nil {
			return nil, err
		}
	}
}

// keep appends n bytes of r.buf to dst, if the output from from on may have them.
func (r *run) keep(n, from int, dst []byte) ([]byte, error) {
	if int64(len(dst)-from+n) > r.limit {
		return nil, records.TooLong(r.limit)
	}
	return append(dst, r.buf[:n]...), r.output.Room.Take(2 * int64(n)) // once more for their order and labels
}

// readSome reads up to some bytes of the iterator into r.buf. 0 is its end.
func (r *run) readSome(fd, bytes int) (int, error) {
	for {
		if err := r.overdue(); err != nil {
			return 0, err
		}
		n, err := unix.Read(fd, r.buf[:bytes])
		switch err {
		case nil:
			return n, nil
		case unix.EINTR, unix.EAGAIN: // EAGAIN comes after a million objects without output
		default:
			return 0, readError(err)
		}
	}
}

func readError(err error) error {
	switch err {
	case unix.E2BIG:
		return fmt.Errorf("one object's output is above the kernel's 32 KiB, or its program gave up: %w", err)
	case unix.EOPNOTSUPP:
		return fmt.Errorf("the walk's output is above the kernel's 32 KiB: %w", err)
	}
	return fmt.Errorf("read the iterator: %w", err)
}

// overdue gives the errno for the reader if the run has to end.
func (r *run) overdue() error {
	if err := r.ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return errno.Errorf(unix.ETIMEDOUT, "%w", err)
		}
		return errno.Errorf(unix.EINTR, "%w", err)
	}
	if time.Now().After(r.deadline) {
		return errno.Errorf(unix.ETIMEDOUT, "the time for one run is over")
	}
	return nil
}
