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
	piece   time.Duration
	views   []string // of a union; else nil

	mu      sync.Mutex
	refused error            // why there is no program
	loaded  *ebpf.Collection // nil before the first tree is read, and after a giant one
	parts   []walkPart       // the program's own, then one of each view of a union
}

// walkPart is the memory of one of the objects that a program is made of.
type walkPart struct {
	view   string // "" for the program's own
	room   walkRoom
	status walkStatus
}

// Walks returns the reason why trees are not walked, nil if they are.
func (j *Job) Walks() error {
	if j.walk == nil {
		return errNoWalk
	}
	j.walk.mu.Lock()
	defer j.walk.mu.Unlock()
	if err := j.walk.load(); err != nil {
		return errors.Join(err, j.walk.refused)
	}
	return nil
}

// InPieces is the job with a walk of its own, in the shortest possible pieces. The function closes that walk.
// All else is shared.
func (j *Job) InPieces() (*Job, func()) {
	small := *j
	small.walk = newWalk(j.walk.program, j.walk.open)
	small.walk.piece = 0
	return &small, small.walk.end
}

// walkPiece is the length of a piece. For so long the kernel lets no other task run on this CPU.
const walkPiece = 500 * time.Microsecond

// errNoWalk says that a tree has to be read another way.
var errNoWalk = errors.New("no walk")

// walkStatus is struct view_walk of bpf/include/walk.h.
type walkStatus struct {
	Top                                      uint64
	State, Nodes, Names, Rows, Wanted, Depth uint32
	Pass, _                                  uint32
	Path                                     [32]struct{ ID, Serial uint64 }
}

// The states of a walk are those of enum view_walk_state.
const (
	walkMore = iota
	walkDone
	walkGone
	walkFull
)

// fill makes the outputs of runs about the cgroup and all below it: one run, or one for each view of a union.
// The error is errNoWalk if the kernel refuses the program, or if the program cannot show this tree.
func (w *walk) fill(cgroup uint64, all ...*run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := all[0]
	if err := r.overdue(); err != nil {
		return err
	}
	if err := w.load(); err != nil {
		return err
	}
	defer w.forgetGiant()
	for {
		state, err := w.pass(r, cgroup)
		if err != nil {
			return err
		}
		rows := int64(0)
		for i := range w.parts {
			rows += int64(w.parts[i].status.Rows)
		}
		if rows > r.limit {
			return records.TooLong(r.limit)
		}
		switch state {
		case walkDone:
			return w.take(all)
		case walkGone:
			return cgroups.Gone(cgroup)
		case walkFull:
			if err := w.grow(r.limit); err != nil {
				return err
			}
		default: // the tree is too deep, or a view failed
			return errNoWalk
		}
	}
}

// pass walks once, piece by piece, to the end or until it cannot go on, and returns the last state.
func (w *walk) pass(r *run, cgroup uint64) (state uint32, err error) {
	for i := range w.parts {
		p := &w.parts[i]
		p.status = walkStatus{Top: cgroup, Pass: p.status.Pass + 1}
		if err := w.variable(p, walkVariable).Set(p.status); err != nil {
			return 0, err
		}
	}
	if err := w.resetSkew(); err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	link, err := links.Create(w.loaded.Programs[w.program], links.Thread(uint32(unix.Gettid())))
	if err != nil {
		return 0, fmt.Errorf("link the iterator that walks trees: %w", err)
	}
	defer unix.Close(link)
	own := &w.parts[0].status
	for {
		if err := w.next(r, link); err != nil {
			return 0, err
		}
		before := own.Nodes
		for i := range w.parts {
			p := &w.parts[i]
			if err := w.variable(p, walkVariable).Get(&p.status); err != nil {
				return 0, err
			}
			if i > 0 && p.status.State != walkMore { // a view has stopped the walk
				return p.status.State, nil
			}
		}
		if own.State != walkMore {
			return own.State, nil
		}
		if own.Nodes == before {
			return 0, errno.Errorf(unix.EIO,
				"the iterator that walks trees stays at cgroup %d", own.Nodes)
		}
	}
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

// take copies the result to the runs' outputs. Each view of a union has the whole list of cgroups.
func (w *walk) take(all []*run) error {
	parts := w.parts[len(w.parts)-len(all):]
	skew, err := w.readSkew()
	if err != nil {
		return err
	}
	all[0].skew = skew
	for i, r := range all {
		p := &parts[i]
		found := records.Walked{
			NrNodes: int(p.status.Nodes), SizeNames: int(p.status.Names),
			SizeRows: int(p.status.Rows),
		}
		if p.status.Nodes != w.parts[0].status.Nodes {
			return errno.Errorf(unix.EIO, "view %s has shown %d of %d cgroups",
				p.view, p.status.Nodes, w.parts[0].status.Nodes)
		}
		nodes, err1 := w.memory(p, walkNodes)
		names, err2 := w.memory(p, walkNames)
		rows, err3 := w.memory(p, walkRows)
		if err := errors.Join(err1, err2, err3); err != nil {
			return fmt.Errorf("map what a walk found: %w", err)
		}
		found.Nodes, found.Names = nodes, names
		if rows != nil {
			found.Rows = rows
		}
		r.bits = r.bits[:0]
		if err := r.output.Walked(found); err != nil {
			return err
		}
	}
	return nil
}

// memory is a map of a part; nil if it has none of the name.
func (w *walk) memory(p *walkPart, name string) (*ebpf.Memory, error) {
	m := w.loaded.Maps[p.name(name)]
	if m == nil {
		return nil, nil
	}
	return m.Memory()
}

func (w *walk) variable(p *walkPart, name string) *ebpf.Variable {
	return w.loaded.Variables[p.name(name)]
}

// name is the name in the loaded program of a part's map or variable.
func (p *walkPart) name(name string) string {
	if p.view == "" {
		return name
	}
	return joinedName(p.view, name)
}
