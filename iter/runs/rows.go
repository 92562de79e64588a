package runs

import (
	"errors"
	"fmt"
	"runtime"

	"bpfviewfs/iter/records"
	"bpfviewfs/iter/requests"
	"golang.org/x/sys/unix"
)

// SetRows says why a tree cannot be made of one run of the program; "" if nothing is against it. It gives the
// result of [Job.Slow], because the program's request.h may be an earlier one, too.
func (j *Job) SetRows(why string) (warning string) {
	if j.requests == nil {
		return ""
	}
	if why == "" && !requests.Sortable(j.requests) {
		why = "it was built with an earlier request.h"
	}
	j.rowless = requests.Unsortable(why)
	return j.Slow()
}

// Slow is a warning about trees of the job; "" if there is none.
func (j *Job) Slow() string {
	if j.rowless == "" {
		return ""
	}
	return fmt.Sprintf("a sub-tree takes a walk over the whole machine for each of its cgroups: %s", string(j.rowless))
}

// collectRows runs the program once, and gives each cgroup of the tree that in does not refuse its rows. The
// error wraps [requests.Unsortable] if they cannot be told apart.
func (r *run) collectRows(cgroup uint64, in func(cgroup uint64) error) error {
	frame, err := r.everything(requests.None, nil)
	if err != nil {
		return err
	}
	o := &r.output
	numbers := make(map[uint64]int, o.Len())
	for i := range o.Len() {
		numbers[o.Cgroup(i)] = i
	}
	all, err := r.readRows(numbers)
	if err == nil {
		err = all.SetFrame(frame, r.job.typ.Kind() == "text")
	}
	if err != nil {
		return err
	}
	rows := make([][][]byte, o.Len())
	all.Rows(func(cgroup uint64, below bool, text []byte) {
		for i, more := numbers[cgroup], true; more; i = o.Parent(i) {
			rows[i] = append(rows[i], text)
			more = below && i > 0
		}
	})
	for i, texts := range rows {
		if in != nil {
			if err := in(o.Cgroup(i)); errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return err
			}
		}
		part := append(o.Bytes(), all.Header()...)
		for _, text := range texts {
			part = append(part, text...)
		}
		part = append(part, all.Footer()...)
		if err := r.fits(len(part)); err != nil {
			return err
		}
		o.Write(i, part)
	}
	_, err = r.hierarchy.Stat(cgroup)
	return err
}

// readRows reads the output about all cgroups, and keeps that about those with numbers.
func (r *run) readRows(numbers map[uint64]int) (*requests.Output, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m, reader := r.job.requests, uint32(unix.Gettid())
	if err := requests.AskForAll(m, reader); err != nil {
		return nil, err
	}
	defer m.Delete(reader)
	fd, err := r.job.openWhole()
	if err != nil {
		return nil, fmt.Errorf("link the iterator: %w", err)
	}
	defer unix.Close(fd)
	kept := 0
	reading := requests.Reading{
		Requests: m, Reader: reader, Record: r.job.typ.RecordSize(),
		Fits: func(size int) error {
			more := max(size-kept, 0)
			kept += more
			// They are kept once here, and once in the output.
			return errors.Join(r.fits(size), r.output.Room.Take(2*int64(more)))
		},
		Next: func(size int) ([]byte, error) {
			n, err := r.readSome(fd, min(size, len(r.buf)))
			return r.buf[:n], err
		},
		Wanted: func(cgroup uint64) bool {
			_, ok := numbers[cgroup]
			return ok
		},
	}
	return reading.Read()
}

// fits is the error for output of more bytes than a run may give.
func (r *run) fits(size int) error {
	if int64(size) > r.limit {
		return records.TooLong(r.limit)
	}
	return nil
}
