package runs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"golang.org/x/sys/unix"
)

// perTask makes the view with a program that is linked to each process or thread in turn. One that exits
// meanwhile is just not there. The header and the footer of a text view are there once.
func (r *run) perTask(cgroup uint64, dst []byte) ([]byte, error) {
	dir, err := r.hierarchy.Directory(cgroup)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	ask, err := r.members(dir)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
			return nil, cgroups.Gone(cgroup)
		}
		return nil, err
	}
	text := r.job.typ.Kind() == "text"
	from := len(dst)
	r.starts = r.starts[:0]
	for _, id := range r.ids {
		if dst, err = ask(id, from, dst); err != nil {
			return nil, err
		}
	}
	switch {
	case text && len(r.ids) == 0:
		return r.askThread(nobody, from, dst) // for the header
	case !text || len(r.starts) < 2:
		return dst, nil
	}
	starts := r.starts
	var parts [][]byte
	for i, start := range starts[1:] {
		parts = append(parts, dst[starts[i]:start])
	}
	parts = append(parts, dst[starts[len(starts)-1]:])
	f, err := r.frameOf(from, dst, parts)
	if err != nil {
		return nil, err
	}
	return f.once(dst[:starts[0]], parts), nil
}

// header gives the first line of the parts of dst if that is a header. A line about a task may be equal in
// two parts, so a header has no digits, begins every part, is in none again, and is not all that the parts
// have. A line that is printed for a missing process is a header, too.
func (r *run) header(from int, dst []byte, parts [][]byte) ([]byte, error) {
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
	all, err := r.askThread(nobody, from, dst)
	if err != nil || !bytes.HasPrefix(all[len(dst):], line) {
		return nil, err
	}
	return line, nil
}

// The id nobody belongs to no process, because it is above PID_MAX_LIMIT (4194304).
const nobody = 1<<31 - 1

func (r *run) askThread(id uint32, from int, dst []byte) ([]byte, error) {
	return r.member(links.Thread(id), from, dst)
}

func (r *run) askProcess(id uint32, from int, dst []byte) ([]byte, error) {
	return r.member(links.Process(id), from, dst)
}

// member appends the program's output about t, and notes where that begins.
func (r *run) member(t links.Scope, from int, dst []byte) ([]byte, error) {
	fd, err := links.Open(r.job.programs[PerTask], t)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return dst, nil
	}
	if err != nil {
		return nil, fmt.Errorf("link the task iterator: %w", err)
	}
	defer unix.Close(fd)
	out, err := r.drain(fd, from, dst)
	if len(out) > len(dst) {
		r.starts = append(r.starts, len(dst))
	}
	return out, err
}
