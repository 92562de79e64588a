package runs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// members fills r.ids with the threads of the cgroup with the open directory dir, or with its processes. ask
// runs the program for one of them.
//
// A process is asked as a whole if all its threads live in one cgroup. If threads may live apart from their
// process, each thread is asked. That is so in threaded cgroups and their domain (cgroup-v2.rst, "Threads"), in
// the root, and on v1. Shared tables are asked of one thread; see askHolders.
func (r *run) members(dir int) (ask func(id uint32, from int, dst []byte) ([]byte, error), err error) {
	kind, err := r.kind(dir)
	if err != nil {
		return nil, err
	}
	threads := "cgroup.threads"
	if kind == "v1" {
		threads = "tasks"
	}
	if err := r.readIDs(dir, threads); err != nil {
		return nil, err
	}
	r.apart = kind != "domain"
	ask = r.askHolders
	if r.job.taskTarget == "task" {
		if r.apart {
			return r.askThread, nil
		}
		ask = r.askProcess
	}
	r.here, r.ids = append(r.here[:0], r.ids...), r.ids[:0]
	if kind != "threaded" { // it has no cgroup.procs
		if err := r.readIDs(dir, "cgroup.procs"); err != nil {
			return nil, err
		}
	}
	return ask, r.toProcesses()
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

// toProcesses makes r.ids the processes of the threads r.here, each once. Before, it has the content of
// cgroup.procs, which saves questions and is no answer. If the first thread of a process has ended, it stays in
// its cgroup when the process is moved, and cgroup.procs names the process there and not where its threads are.
func (r *run) toProcesses() error {
	leaders, processes := slices.Clone(r.ids), r.ids[:0]
	known := make(map[uint32]bool) // threads of processes that have several
	for _, tid := range r.here {
		if err := r.overdue(); err != nil {
			return err
		}
		if known[tid] {
			continue
		}
		pid := tid
		if _, leads := slices.BinarySearch(leaders, tid); !leads {
			var err error
			if pid, err = cgroups.ProcessOf(tid); err != nil {
				return err
			}
		}
		if pid == 0 {
			continue
		}
		processes = append(processes, pid)
		if cgroups.IsAlone(pid) {
			continue
		}
		if err := cgroups.ThreadsOf(pid, known); err != nil {
			return err
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
