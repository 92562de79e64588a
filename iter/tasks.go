package iter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// perTask makes the view with a program that is linked to each process in turn, or to each thread where the threads of
// one process may live in different cgroups. One that exits meanwhile is just not there. A text view's header is there
// once.
func (r *run) perTask(cgroup uint64, dst []byte) ([]byte, error) {
	dir, err := r.hierarchy.Directory(cgroup)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	target, err := r.members(dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
			return nil, cgroups.Gone(cgroup)
		}
		return nil, err
	}
	text := r.view.Kind() == "text"
	if len(r.ids) == 0 && text {
		r.ids = append(r.ids, nobody) // for the header
	}
	from := len(dst)
	var starts []int // of what was written about each, if anything was
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
		if text && len(dst) > start {
			starts = append(starts, start)
		}
	}
	if len(starts) < 2 {
		return dst, nil
	}
	var parts [][]byte
	for i, start := range starts[1:] {
		parts = append(parts, dst[starts[i]:start])
	}
	parts = append(parts, dst[starts[len(starts)-1]:])
	header, err := r.header(target(nobody), from, dst, parts)
	if err != nil {
		return nil, err
	}
	dst = dst[:starts[1]]
	for _, part := range parts[1:] {
		dst = append(dst, bytes.TrimPrefix(part, header)...)
	}
	return dst, nil
}

// header gives the first line of the parts of dst, if it is their header and says nothing of a task, which may have a twin: it has
// no digits, all have it at their beginning and not again, and some have more; or it is printed for nobody, too.
func (r *run) header(none target, from int, dst []byte, parts [][]byte) ([]byte, error) {
	line := parts[0][:bytes.IndexByte(parts[0], '\n')+1]
	again := slices.Concat([]byte{'\n'}, line)
	once, more := !bytes.ContainsAny(line, "0123456789"), false
	for _, part := range parts {
		rest, ok := bytes.CutPrefix(part, line)
		once = once && ok && !bytes.HasPrefix(rest, line) && !bytes.Contains(rest, again)
		more = more || len(rest) > 0
	}
	if once && more {
		return line, nil
	}
	all, err := r.member(none, from, dst)
	if err != nil || !bytes.HasPrefix(all[len(dst):], line) {
		return nil, err
	}
	return line, nil
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
