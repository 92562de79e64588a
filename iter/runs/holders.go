package runs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// holder is a thread with the table of files or the address space that an iterator of task_file or task_vma
// shows. Threads mostly share both, and the kernel does not tell. If the first thread has ended, the iterator
// shows a shared table once for each of the others. Before 87abbf7a5dbe (v6.7) it also leaves out tables that
// only one thread has.
type holder struct {
	tid  uint32
	what uint64 // its address, which is compared and never followed; 0 for none
}

// holderSize is that of struct holder in bpf/walk/threads.bpf.c.
const holderSize = 24

// askHolders runs the program once for each table or address space of the process. It asks the first living
// thread that holds it, if that thread lives in this cgroup. So in a tree each belongs to one cgroup.
func (r *run) askHolders(pid uint32, from int, dst []byte) ([]byte, error) {
	if cgroups.IsAlone(pid) {
		if !r.livesHere(pid) {
			return dst, nil
		}
		return r.askThread(pid, from, dst)
	}
	program, err := r.job.runner.census.load()
	if err != nil { // this kernel refuses it, so the kernel's own way has to do
		return r.askProcess(pid, from, dst)
	}
	r.asked = r.asked[:0]
	for again := true; again; {
		again = false
		holders, err := r.holders(program, pid)
		if err != nil {
			return nil, err
		}
		for _, h := range holders {
			if !r.livesHere(h.tid) || slices.Contains(r.asked, h) ||
				slices.Contains(r.asked, holder{what: h.what}) {
				continue
			}
			start := len(dst)
			if dst, err = r.askThread(h.tid, from, dst); err != nil {
				return nil, err
			}
			if len(dst) > start {
				h.tid = 0 // no other thread need be asked
			} else {
				again = true // it may have ended just now, and another thread may hold the same
			}
			r.asked = append(r.asked, h)
		}
	}
	return dst, nil
}

func (r *run) livesHere(tid uint32) bool {
	if !r.apart {
		return true
	}
	_, here := slices.BinarySearch(r.here, tid)
	return here
}

// holders gives the first living thread for each thing that the threads of a process hold.
func (r *run) holders(program *ebpf.Program, pid uint32) ([]holder, error) {
	fd, err := links.Open(program, links.Process(pid))
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("link the iterator that lists threads: %w", err)
	}
	defer unix.Close(fd)
	list, err := r.drain(fd, math.MaxInt, nil) // the limit of output does not apply to a list
	if err != nil {
		return nil, fmt.Errorf("list the threads of a process: %w", err)
	}
	offset := 8 // of files
	if r.job.taskTarget == "task_vma" {
		offset = 16
	}
	var holders []holder
	for t := range slices.Chunk(list, holderSize) {
		if len(t) < holderSize {
			return nil, errno.Errorf(unix.EIO, "the list of threads ends with %d bytes", len(t))
		}
		h := holder{binary.NativeEndian.Uint32(t), binary.NativeEndian.Uint64(t[offset:])}
		if h.what != 0 && !slices.ContainsFunc(holders, func(o holder) bool {
			return o.what == h.what
		}) {
			holders = append(holders, h)
		}
	}
	return holders, nil
}
