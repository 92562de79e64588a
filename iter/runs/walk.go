package runs

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// walk shows all cgroups of a tree in one pass of one program, as bpf/include/walk.h says. One reader at a
// time uses the program and the memory that it fills. The first tree that is read loads them, because starts
// are quick.
type walk struct {
	program string
	open    LoadWalk
	shared  map[string]*ebpf.Map // of the view's other programs; open gives them to this one
	piece   time.Duration

	mu      sync.Mutex
	refused error // why there is no program
	room    walkRoom
	loaded  *ebpf.Collection // nil before the first tree is read, and after a giant one
}

// Walks returns the reason why trees are not walked, nil if they are.
func (j *Job) Walks() error {
	if j.walk == nil {
		return errNoWalk
	}
	j.walk.mu.Lock()
	defer j.walk.mu.Unlock()
	if err := j.walk.load(firstRoom); err != nil {
		return errors.Join(err, j.walk.refused)
	}
	return nil
}

// InPieces is the job with a walk of its own, in the shortest possible pieces. The function closes that walk.
// All else is shared.
func (j *Job) InPieces() (*Job, func()) {
	small := *j
	small.walk = &walk{program: j.walk.program, open: j.walk.open}
	return &small, small.walk.close
}

// walkPiece is the length of a piece. For so long the kernel lets no other task run on this CPU.
const walkPiece = 500 * time.Microsecond

// errNoWalk says that a tree has to be read another way.
var errNoWalk = errors.New("no walk")

// walkStatus is struct view_walk of bpf/include/walk.h.
type walkStatus struct {
	Top                                      uint64
	State, Nodes, Names, Rows, Wanted, Depth uint32
	Path                                     [32]struct{ ID, Serial uint64 }
}

// The states of a walk are those of enum view_walk_state.
const (
	walkMore = iota
	walkDone
	walkGone
	walkFull
)

// fill makes the run's output of the cgroup and all below it. The error is errNoWalk if the kernel refuses
// the program, or if the program cannot show this tree.
func (w *walk) fill(r *run, cgroup uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := r.overdue(); err != nil {
		return err
	}
	if err := w.load(firstRoom); err != nil {
		return err
	}
	defer w.forgetGiant()
	for {
		s, err := w.pass(r, cgroup)
		if err != nil {
			return err
		}
		if int64(s.Rows) > r.limit {
			return records.TooLong(r.limit)
		}
		switch s.State {
		case walkDone:
			return w.take(r, s)
		case walkGone:
			return cgroups.Gone(cgroup)
		case walkFull:
			if err := w.grow(s, r.limit); err != nil {
				return err
			}
		default: // the tree is too deep, or the view failed
			return errNoWalk
		}
	}
}

// pass walks once, piece by piece, to the end or until it cannot go on.
func (w *walk) pass(r *run, cgroup uint64) (s walkStatus, err error) {
	s.Top = cgroup
	status := w.loaded.Variables["view_walk"]
	if err := status.Set(s); err != nil {
		return s, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	link, err := links.Create(w.loaded.Programs[w.program], links.Thread(uint32(unix.Gettid())))
	if err != nil {
		return s, fmt.Errorf("link the iterator that walks trees: %w", err)
	}
	defer unix.Close(link)
	for s.State == walkMore {
		if err := w.next(r, link); err != nil {
			return s, err
		}
		before := s.Nodes
		if err := status.Get(&s); err != nil {
			return s, err
		}
		if s.State == walkMore && s.Nodes == before {
			return s, errno.Errorf(unix.EIO,
				"the iterator that walks trees stays at cgroup %d", s.Nodes)
		}
	}
	return s, nil
}

// next walks one piece.
func (w *walk) next(r *run, link int) error {
	fd, err := links.Iterate(link)
	if err != nil {
		return fmt.Errorf("make the iterator that walks trees: %w", err)
	}
	defer unix.Close(fd)
	_, err = r.drain(fd, 0, nil)
	return err
}

// take copies the result to the run's output.
func (w *walk) take(r *run, s walkStatus) error {
	found := records.Walked{NrNodes: int(s.Nodes), SizeNames: int(s.Names), SizeRows: int(s.Rows)}
	memory := func(name string) (*ebpf.Memory, error) {
		if w.loaded.Maps[name] == nil {
			return nil, nil
		}
		return w.loaded.Maps[name].Memory()
	}
	nodes, err1 := memory(walkNodes)
	names, err2 := memory(walkNames)
	rows, err3 := memory(walkRows)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("map what a walk found: %w", err)
	}
	found.Nodes, found.Names = nodes, names
	if rows != nil {
		found.Rows = rows
	}
	r.bits = r.bits[:0]
	return r.output.Walked(found)
}
