package iter

import (
	"errors"
	"sync/atomic"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// life keeps the programs of a view open while it runs. A view that was replaced or removed closes them when
// its last run ends.
type life struct {
	users atomic.Int64         // runs under way, and one while the view is in its set's list
	next  atomic.Pointer[View] // its replacement

	retired atomic.Bool // by a set that goes on, so that the view's state is not needed
}

func newLife() *life {
	l := new(life)
	l.users.Store(1)
	return l
}

// enter takes part in the life, unless it is over.
func (l *life) enter() bool {
	for {
		n := l.users.Load()
		if n == 0 {
			return false
		}
		if l.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// hold gives the view to run, and keeps its programs open until drop. For a replaced view it gives the
// replacement, so that a caller with the old view needs no second try.
func (v *View) hold() (*View, error) {
	for !v.life.enter() {
		next := v.life.next.Load()
		if next == nil {
			return nil, v.over()
		}
		v = next
	}
	return v, nil
}

func (v *View) over() error {
	if v.set.closed.Load() {
		return errno.Errorf(unix.EBADF, "run view %s: views are closed", v.name)
	}
	return errno.Errorf(unix.ENODEV, "run view %s: it was removed", v.name)
}

// drop ends a hold, or the part in the life that the making of the view took.
func (v *View) drop() {
	if v.life.users.Add(-1) == 0 {
		v.set.ended(v.close())
	}
}

// retire takes the view from the list of its set. next is its replacement, or nil.
func (v *View) retire(next *View) {
	v.life.next.Store(next)
	v.life.retired.Store(!v.set.closed.Load())
	v.drop()
}

// ended counts a view after its programs are closed.
func (s *Set) ended(err error) {
	if err != nil {
		s.errs.Lock()
		s.closeErr = errors.Join(s.closeErr, err)
		s.errs.Unlock()
	}
	s.alive.Done()
}
