package iter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// members fills r.ids with the processes of the cgroup whose directory is open as dir, and says that they are
// processes; or with its threads where cgroup.procs does not tell who lives here: cgroup.procs of a threaded domain
// names the processes of all threaded cgroups below, a threaded cgroup has none (cgroup-v2.rst, "Threads"), and on v1
// and in the root any thread may be anywhere.
func (r *run) members(dir int) (func(id uint32) target, error) {
	kind, err := r.kind(dir)
	switch {
	case err != nil:
		return nil, err
	case r.view.taskTarget == "task_file" && walksTables():
		return process, r.processes(dir, kind)
	case r.view.taskTarget != "task":
		return thread, r.processes(dir, kind)
	case kind == "v1":
		return thread, r.readIDs(dir, "tasks")
	case kind == "domain":
		return process, r.readIDs(dir, "cgroup.procs")
	}
	return thread, r.readIDs(dir, "cgroup.threads")
}

// walksTables tells whether the kernel, asked for the files of a process, goes through each table of its threads once,
// that of a thread that has its own included. Before 87abbf7a5dbe (v6.7) it goes through one twice, and leaves out others:
// then the main thread's has to do. It does not show; but bpf_iter_css_task_new, of the same version, is among the
// kernel's types.
var walksTables = sync.OnceValue(func() bool {
	types, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	return err == nil && bytes.Contains(types, []byte("\x00bpf_iter_css_task_new\x00"))
})

// processes fills r.ids with the processes that have a thread here, for iterators of what all threads of a process
// share. Their ids are those of their main threads.
func (r *run) processes(dir int, kind string) error {
	if kind == "v1" || kind == "root" || kind == "domain" {
		return r.readIDs(dir, "cgroup.procs")
	}
	if err := r.readIDs(dir, "cgroup.threads"); err != nil {
		return err
	}
	return r.toProcesses()
}

// kind is what cgroup.type says, or v1, or root: there is no such file.
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
	n, err := unix.Read(fd, r.buf[:])
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
	ids := idParser{zeroIsForeign: !inHostPIDNamespace()}
	for {
		if err := r.overdue(); err != nil {
			return err
		}
		n, err := unix.Read(fd, r.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if n == 0 {
			break
		}
		if r.ids, err = ids.parse(r.ids, r.buf[:n]); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if r.ids, err = ids.end(r.ids); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	// The kernel may name one twice that left and came back (cgroup-v2.rst, cgroup.procs).
	slices.Sort(r.ids)
	r.ids = slices.Compact(r.ids)
	return nil
}

// inHostPIDNamespace tells whether every process has an id here. The number is PROC_PID_INIT_INO of
// include/linux/proc_ns.h, what the machine's own pid namespace has had since v3.8.
var inHostPIDNamespace = sync.OnceValue(func() bool {
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/pid", &st) == nil && st.Ino == 0xEFFFFFFC
})

// idParser reads decimal ids, one a line, from pieces that may end anywhere.
type idParser struct {
	value  uint32
	digits bool

	// The kernel writes 0 for a process without an id: one that has just exited, or one that this pid namespace
	// cannot see, and then leaving it out would be short output. Passed on, 0 would mean every process there is.
	zeroIsForeign bool
}

func (p *idParser) parse(ids []uint32, text []byte) ([]uint32, error) {
	for _, b := range text {
		switch {
		case b == '\n':
			var err error
			if ids, err = p.end(ids); err != nil {
				return ids, err
			}
		case '0' <= b && b <= '9' && p.value <= nobody/10-1:
			p.value, p.digits = p.value*10+uint32(b-'0'), true
		default:
			return ids, fmt.Errorf("byte %q after %d is no id: %w", b, p.value, unix.EIO)
		}
	}
	return ids, nil
}

// end takes a line's end.
func (p *idParser) end(ids []uint32) ([]uint32, error) {
	id, digits := p.value, p.digits
	p.value, p.digits = 0, false
	switch {
	case id > 0:
		return append(ids, id), nil
	case digits && p.zeroIsForeign:
		return ids, fmt.Errorf("a process of another pid namespace lives here; run in the host's: %w", unix.EXDEV)
	}
	return ids, nil
}
