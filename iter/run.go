package iter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Run runs the view for one cgroup and appends its whole output to dst. On an error dst is given back as it
// was. The package comment tells which error means what.
func (v *View) Run(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error) {
	v.set.mu.RLock()
	defer v.set.mu.RUnlock()
	out, err := v.run(ctx, cgroup, dst)
	if err != nil {
		return dst, fmt.Errorf("run view %s for cgroup %d: %w", v.name, cgroup, err)
	}
	return out, nil
}

func (v *View) run(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error) {
	switch {
	case v.set.closed:
		return nil, errClosed
	case v.err != nil:
		return nil, fmt.Errorf("it is absent: %w (%w)", v.err, unix.ENOEXEC)
	}
	r := runs.Get().(*run)
	defer r.release()
	r.ctx, r.view, r.hierarchy, r.limit = ctx, v, v.set.hierarchy, v.set.options.MaxRun
	r.deadline = time.Now().Add(v.set.options.Timeout)
	if v.record == nil {
		out, err := r.collect(cgroup, dst)
		return out, err
	}
	raw, err := r.collect(cgroup, r.raw[:0])
	if err != nil {
		return nil, err
	}
	r.raw = raw
	out, order, err := v.record.appendText(dst, raw, r.order)
	r.order = order
	if err == nil && int64(len(out)-len(dst)) > r.limit {
		return nil, tooLong(r.limit)
	}
	return out, err
}

// run is the state of one run. It is pooled: a run allocates nothing but its output's growth.
type run struct {
	ctx       context.Context
	view      *View
	hierarchy *Hierarchy
	deadline  time.Time
	limit     int64

	buf   [readSize]byte
	raw   []byte   // a record view's bytes
	order []uint32 // of its records
	ids   []uint32 // of processes or threads
}

// readSize is above the 32 KiB that the kernel keeps for a walk: a smaller read cuts the walk short.
const readSize = 64 << 10

var runs = sync.Pool{New: func() any { return new(run) }}

// release puts the run back, without what only a giant one needed.
func (r *run) release() {
	const keep = 1 << 20
	r.ctx, r.view, r.hierarchy = nil, nil, nil
	if cap(r.raw) > keep {
		r.raw = nil
	}
	if cap(r.order)*4 > keep {
		r.order = nil
	}
	if cap(r.ids)*4 > keep {
		r.ids = nil
	}
	runs.Put(r)
}

// collect appends what the view's programs write about the cgroup, with the flavour that fits.
func (r *run) collect(cgroup uint64, dst []byte) ([]byte, error) {
	v := r.view
	if v.whole != nil {
		return r.everything(cgroup, dst)
	}
	if v.cgroup == nil || v.task != nil && r.hierarchy.V1() {
		return r.perTask(cgroup, dst)
	}
	out, err := r.once(cgroup, dst)
	switch {
	case err == nil && len(out) == len(dst):
		// Nothing is an answer, unless there was nobody to answer.
		if _, err := r.hierarchy.Stat(cgroup); err != nil {
			return nil, err
		}
	case errors.Is(err, unix.E2BIG), errors.Is(err, unix.EOPNOTSUPP):
		if v.task == nil {
			return nil, withTaskReason(err, v.noTask)
		}
		return r.perTask(cgroup, dst)
	}
	return out, err
}

// once is one link, one iterator, read to the end.
func (r *run) once(cgroup uint64, dst []byte) ([]byte, error) {
	t := cgroupByID(r.view.order, cgroup)
	if r.hierarchy.V1() {
		dir, err := r.hierarchy.open(cgroup, unix.O_PATH)
		if err != nil {
			return nil, asENOENT(err)
		}
		defer unix.Close(dir)
		t = cgroupByFD(r.view.order, dir)
	}
	fd, err := openIterator(r.view.cgroup, t)
	if errors.Is(err, unix.ENOENT) {
		return nil, goneError{cgroup, unix.ENOENT}
	}
	if err != nil {
		return nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, len(dst), dst)
}

// drain appends to dst what the iterator gives, to its end. The run's output began at from.
func (r *run) drain(fd, from int, dst []byte) ([]byte, error) {
	for {
		if err := r.overdue(); err != nil {
			return nil, err
		}
		n, err := unix.Read(fd, r.buf[:])
		switch {
		case err == unix.EINTR, err == unix.EAGAIN: // EAGAIN: a million objects without output
			continue
		case err == unix.E2BIG:
			return nil, fmt.Errorf("one object's output is above the kernel's 32 KiB: %w", err)
		case err == unix.EOPNOTSUPP:
			return nil, fmt.Errorf("the walk's output is above the kernel's 32 KiB: %w", err)
		case err != nil:
			return nil, fmt.Errorf("read the iterator: %w", err)
		case n == 0:
			return dst, nil
		case int64(len(dst)-from+n) > r.limit:
			return nil, tooLong(r.limit)
		}
		dst = append(dst, r.buf[:n]...)
	}
}

// overdue tells whether the run has to end, as an errno that a reader knows.
func (r *run) overdue() error {
	if err := r.ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w (%w)", err, unix.ETIMEDOUT)
		}
		return fmt.Errorf("%w (%w)", err, unix.EINTR)
	}
	if time.Now().After(r.deadline) {
		return fmt.Errorf("the time for one run is over: %w", unix.ETIMEDOUT)
	}
	return nil
}

func tooLong(limit int64) error {
	return fmt.Errorf("output is above the bound of %d bytes: %w", limit, unix.EFBIG)
}
