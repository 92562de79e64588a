package iter

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// perTask makes the view with a program that is linked to each process in turn, or to each thread where the threads of
// one process may live in different cgroups. One that exits meanwhile is just not there. A text view's header is there
// once.
func (r *run) perTask(cgroup uint64, dst []byte) ([]byte, error) {
	dir, err := r.hierarchy.open(cgroup, unix.O_PATH)
	if err != nil {
		return nil, asENOENT(err)
	}
	defer unix.Close(dir)
	target, err := r.members(dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
			return nil, goneError{cgroup, unix.ENOENT}
		}
		return nil, err
	}
	text := r.view.Kind() == "text"
	if len(r.ids) == 0 && text {
		r.ids = append(r.ids, nobody) // for the header
	}
	from := len(dst)
	headerEnd := -1
	for _, id := range r.ids {
		start := len(dst)
		if dst, err = r.member(target(id), from, dst); err != nil {
			return nil, err
		}
		if len(dst) == start && r.view.taskTarget != "task" { // its main thread may have ended before the others
			if dst, err = r.member(process(id), from, dst); err != nil {
				return nil, err
			}
		}
		switch {
		case !text || len(dst) == start:
		case headerEnd < 0:
			if headerEnd, err = r.header(target, from, dst); err != nil {
				return nil, err
			}
		case bytes.HasPrefix(dst[start:], dst[from:headerEnd]):
			dst = append(dst[:start], dst[start+headerEnd-from:]...)
		}
	}
	return dst, nil
}

// header gives where the header ends that dst begins with at from. A first line without digits is one; one with digits
// may be about a task that has a twin in another process, unless it is printed for nobody, too.
func (r *run) header(target func(id uint32) target, from int, dst []byte) (int, error) {
	end := from + bytes.IndexByte(dst[from:], '\n') + 1
	line := dst[from:end]
	if !bytes.ContainsAny(line, "0123456789") {
		return end, nil
	}
	all, err := r.member(target(nobody), from, dst)
	if err != nil {
		return 0, err
	}
	if bytes.HasPrefix(all[len(dst):], line) {
		return end, nil
	}
	return from, nil
}

// nobody is a process id above any that Linux gives (PID_MAX_LIMIT is 4194304).
const nobody = 1<<31 - 1

func (r *run) member(t target, from int, dst []byte) ([]byte, error) {
	fd, err := openIterator(r.view.task, t)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return dst, nil
	}
	if err != nil {
		return nil, fmt.Errorf("link the task iterator: %w", err)
	}
	defer unix.Close(fd)
	return r.drain(fd, from, dst)
}
