package runs

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"bpfviewfs/internal/await"
	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/join"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/trees"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// walk shows all cgroups of a tree in one pass of one program, as bpf/include/walk.h says. One reader at a
// time uses the program and the memory that it fills. The first tree that is read loads them, because starts
// are quick.
type walk struct {
	program string
	open    LoadWalk
	enter   func() bool // see Walker; nil if no other process uses the program
	leave   func()
	piece   time.Duration

	patience time.Duration // see load

	mu       sync.Mutex
	refused  error // why there is no program
	loading  *await.Making[*ebpf.Collection]
	loaded   *ebpf.Collection // nil before the first tree is read, and after a giant one
	room     listRoom
	status   walkStatus
	nameRoom uint64      // bytes of a cgroup's name, on average
	giant    *time.Timer // ends a giant walk
	tree     *trees.Tree
	changes  uint64     // of the list, up to the tree
	shows    []walkShow // of the view, of each view of a union, or none if the program only lists
}

// walkShow is the memory that one view fills.
type walkShow struct {
	view   string // in a union; "" for a view alone
	room   uint64 // bytes of rows
	status showStatus

	rowRoom uint64 // bytes of a cgroup's rows, on average
}

// Walks returns the reason why trees are not walked, nil if they are.
func (j *Job) Walks() error {
	if j.walk == nil {
		return errNoWalk
	}
	j.walk.mu.Lock()
	defer j.walk.mu.Unlock()
	if err := j.walk.load(time.Minute); err != nil {
		return errors.Join(err, j.walk.refused)
	}
	return nil
}

// Prepare begins to load the walk, so that the first tree need not wait for all of that.
func (j *Job) Prepare() {
	if j.walk != nil {
		j.walk.mu.Lock()
		defer j.walk.mu.Unlock()
		_ = j.walk.load(0)
	}
}

// InPieces is the job with a walk of its own, in the shortest possible pieces. The function closes that walk.
// All else is shared.
func (j *Job) InPieces() (*Job, func()) {
	small := *j
	small.walk = newWalk(j.walk.program, j.walk.open, "")
	small.walk.piece = 0
	return &small, small.walk.end
}

// walkPiece is the length of a piece. For so long the kernel lets no other task run on this CPU.
const walkPiece = 500 * time.Microsecond

// errNoWalk says that a tree has to be read another way.
var errNoWalk = errors.New("no walk")

// walkStatus is struct view_walk of bpf/include/walk.h.
type walkStatus struct {
	Top                                         uint64
	Result, Cgroups, Names, Wanted, Depth, Pass uint32
	Path                                        [32]struct{ ID, Serial uint64 }
}

// showStatus is struct view_shown of bpf/include/tree.h.
type showStatus struct{ Result, Cgroups, Rows uint32 }

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
	if w.loaded == nil && w.loading == nil {
		w.expect(r.hierarchy.Descendants(cgroup))
	}
	if err := w.load(w.patience); err != nil {
		return err
	}
	defer w.freeGiant()
	for {
		if w.enter != nil && !w.enter() { // the next one is this process's alone
			w.unload()
			if err := w.load(w.patience); err != nil {
				return err
			}
			continue
		}
		full, err := w.show(cgroup, all)
		if w.leave != nil {
			w.leave()
		}
		if err != nil || !full {
			return err
		}
		if err := w.grow(r.limit); err != nil {
			return err
		}
	}
}

// show makes one pass and reads its result. It reports whether more room is needed.
func (w *walk) show(cgroup uint64, all []*run) (full bool, err error) {
	r := all[0]
	result, err := w.pass(r, cgroup)
	if err != nil {
		return false, err
	}
	rows := int64(0)
	for i := range w.shows {
		rows += int64(w.shows[i].status.Rows)
	}
	if rows > r.limit {
		return false, records.TooLong(r.limit)
	}
	switch result {
	case walkDone:
		w.learn()
		return false, w.read(all)
	case walkGone:
		return false, cgroups.Gone(cgroup)
	case walkFull:
		return true, nil
	}
	return false, errNoWalk // the tree is too deep, or a view failed
}

// pass walks once, piece by piece, to the end or until it cannot go on, and returns the last result.
func (w *walk) pass(r *run, cgroup uint64) (result uint32, err error) {
	var last walkStatus // perhaps of another process
	if err := w.loaded.Variables[walkVariable].Get(&last); err != nil {
		return 0, err
	}
	w.status = walkStatus{Top: cgroup, Pass: last.Pass + 1}
	if err := w.loaded.Variables[walkVariable].Set(w.status); err != nil {
		return 0, err
	}
	for i := range w.shows {
		s := &w.shows[i]
		s.status = showStatus{}
		if err := w.shown(s).Set(s.status); err != nil {
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
	for {
		if err := w.next(r, link); err != nil {
			return 0, err
		}
		before := w.status.Cgroups
		if err := w.loaded.Variables[walkVariable].Get(&w.status); err != nil {
			return 0, err
		}
		for i := range w.shows {
			s := &w.shows[i]
			if err := w.shown(s).Get(&s.status); err != nil {
				return 0, err
			}
			if s.status.Result != walkMore { // the view has stopped the walk
				return s.status.Result, nil
			}
		}
		if w.status.Result != walkMore {
			return w.status.Result, nil
		}
		if w.status.Cgroups == before {
			return 0, errno.Errorf(unix.EIO,
				"the iterator that walks trees stays at cgroup %d", before)
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

// read copies the result to the runs' outputs. The views of a union share one list of cgroups.
func (w *walk) read(all []*run) error {
	skew, err := w.readSkew()
	if err != nil {
		return err
	}
	all[0].skew = skew
	if err := w.list(); err != nil {
		return err
	}
	for i, r := range all {
		r.bits = r.bits[:0]
		r.output.Clear()
		r.output.Share(w.tree)
		if i < len(w.shows) {
			if err := w.readShown(&w.shows[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// list makes the tree. It is that of an earlier pass if no pass has changed the list since.
func (w *walk) list() (err error) {
	var changes uint64
	v := w.loaded.Variables[walkChanges]
	if v != nil { // a view of earlier headers does not tell
		if err := v.Get(&changes); err != nil {
			return err
		}
		if w.tree != nil && w.changes == changes && w.tree.Len() == int(w.status.Cgroups) {
			return nil
		}
	}
	list := trees.Walked{NrCgroups: int(w.status.Cgroups), SizeNames: int(w.status.Names)}
	var err2 error
	list.Cgroups, err = w.loaded.Maps[walkCgroups].Memory()
	list.Names, err2 = w.loaded.Maps[walkNames].Memory()
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("map the list of cgroups: %w", err)
	}
	w.changes = changes
	w.tree, err = list.Tree()
	return err
}

// readShown copies what a view has shown to a run's output.
func (w *walk) readShown(s *walkShow, r *run) error {
	if s.status.Cgroups != w.status.Cgroups {
		return errno.Errorf(unix.EIO, "view %s has shown %d of %d cgroups",
			s.view, s.status.Cgroups, w.status.Cgroups)
	}
	ends, err := w.loaded.Maps[s.name(walkEnds)].Memory()
	rows, err2 := w.loaded.Maps[s.name(walkRows)].Memory()
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("map what a walk has shown: %w", err)
	}
	return r.output.Shown(ends, rows, int(s.status.Rows))
}

func (w *walk) shown(s *walkShow) *ebpf.Variable { return w.loaded.Variables[s.name(shownVariable)] }

// name is the name in the loaded program of a map or variable of the view.
func (s *walkShow) name(name string) string {
	if s.view == "" {
		return name
	}
	return join.Name(s.view, name)
}
