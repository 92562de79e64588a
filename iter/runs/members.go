package runs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// members fills r.ids with the threads of the cgroup with the open directory dir, or with its processes. ask
// runs the program for one of them.
//
// A process is asked as a whole if all its threads live in one cgroup. If threads may live apart from their
// process, cgroup.procs does not tell the members. That is so in threaded cgroups and their domain
// (cgroup-v2.rst, "Threads"), in the root, and on v1. There each thread is asked. Shared tables are asked of
// one thread; see askHolders.
func (r *run) members(dir int) (ask func(id uint32, from int, dst []byte) ([]byte, error), err error) {
	kind, err := r.kind(dir)
	threads := "cgroup.threads"
	if kind == "v1" {
		threads = "tasks"
	}
	switch {
	case err != nil:
		return nil, err
	case r.job.taskTarget == "task" && kind == "domain":
		return r.askProcess, r.readIDs(dir, "cgroup.procs")
	case r.job.taskTarget == "task":
		return r.askThread, r.readIDs(dir, threads)
	}
	r.here = r.here[:0]
	r.apart = kind != "domain"
	if r.apart {
		if err := r.readIDs(dir, threads); err != nil {
			return nil, err
		}
		r.here = append(r.here, r.ids...)
	}
	if kind == "threaded" { // it has no cgroup.procs
		return r.askHolders, r.toProcesses()
	}
	return r.askHolders, r.readIDs(dir, "cgroup.procs")
}

// kind is the content of cgroup.type; v1, or root, which has no such file.
func (r *run) kind(dir int) (string, error) {
	if r.hierarchy.V1() {
		return "v1", nil
	}
	fd, err := cgroups.OpenFile(dir, "cgroup.type")
	if errors.Is(err, unix.ENOENT) {
		return "root", nil
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	n, err := cgroups.Read(fd, r.buf[:])
	if err != nil {
		return "", fmt.Errorf("read cgroup.type: %w", err)
	}
	return string(bytes.TrimSpace(r.buf[:n])), nil
}

// toProcesses turns r.ids from threads into their processes, each once. A thread that is gone has none.
func (r *run) toProcesses() error {
	processes := r.ids[:0]
	for _, tid := range r.ids {
		if err := r.overdue(); err != nil {
			return err
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find the process of a thread: %w", err)
		}
		var pid uint32
		_, tgid, _ := bytes.Cut(status, []byte("\nTgid:"))
		if _, err := fmt.Fscan(bytes.NewReader(tgid), &pid); err == nil {
			processes = append(processes, pid)
		}
	}
	slices.Sort(processes)
	r.ids = slices.Compact(processes)
	return nil
}

func (r *run) readIDs(dir int, file string) error {
	fd, err := cgroups.OpenFile(dir, file)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r.ids = r.ids[:0]
	ids := cgroups.IDs{ZeroIsForeign: !cgroups.InHostPIDNamespace()}
	for {
		if err := r.overdue(); err != nil {
			return err
		}
		n, err := cgroups.Read(fd, r.buf[:])
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if n == 0 {
			break
		}
		if r.ids, err = ids.Parse(r.ids, r.buf[:n]); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if r.ids, err = ids.End(r.ids); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	// The kernel may name a process twice that left and came back (cgroup-v2.rst, cgroup.procs).
	slices.Sort(r.ids)
	r.ids = slices.Compact(r.ids)
	return nil
}
