package iter

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// perTask makes the view with a program that is linked to each process in turn, or to each thread where the threads of
// one process may live in different cgroups. One that exits meanwhile is just not there. What a text view prints first,
// a header, is there once: a first line that is the first task's too is left out.
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
	headerEnd := from
	for _, id := range r.ids {
		start := len(dst)
		if dst, err = r.member(target(id), from, dst); err != nil {
			return nil, err
		}
		if !text {
			continue
		}
		if headerEnd == from {
			headerEnd += firstLine(dst[from:])
		} else if header := dst[from:headerEnd]; bytes.HasPrefix(dst[start:], header) {
			dst = append(dst[:start], dst[start+len(header):]...)
		}
	}
	return dst, nil
}

// nobody is a process id above any that Linux gives (PID_MAX_LIMIT is 4194304).
const nobody = 1<<31 - 1

func firstLine(text []byte) int { return bytes.IndexByte(text, '\n') + 1 }

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
