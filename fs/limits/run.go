package limits

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	words "bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Run is a run in its turn. The bytes that it takes are its user's from before it takes them until
// End, or until an open file is charged for them. Small runs take none, and their files are charged when
// they have ended. One goroutine uses it.
type Run struct {
	account  *Account
	file     uint64
	reserved int64
	taken    int64
	wants    int64
}

// waiter is a run that waits for its turn, and for the bytes that it needs.
type waiter struct {
	turn chan struct{}
	need int64
	full error // open files have the memory
}

// ErrTurn is the error of [Run.Take] when runs that are under way, or open files, have the rest of the
// memory. The caller ends the run, and begins it anew with the bytes that it wants.
var ErrTurn = errors.New("runs under way or open files have the memory")

const (
	runShare = 8    // the part of the bytes that runs leave to small files and directories
	mostNeed = 4096 // files whose last need is known
)

// closeTime is how long a run waits for the memory of open files. A file that was closed may still be open
// for a moment, because close(2) does not wait for RELEASE.
var closeTime = 250 * time.Millisecond

// Begin waits for the turn of one run of a user, and for the memory that the last run of the same file
// took. wants is 0 at first. Call End afterwards.
func (l *Limiter) Begin(cancel <-chan struct{}, uid uint32, file uint64, wants int64) (Run, error) {
	r := Run{file: file, wants: wants}
	w, err := l.enter(uid, &r)
	if err != nil || w == nil {
		return r, err
	}
	patience := l.limits.Wait
	if w.full != nil {
		patience = min(patience, closeTime)
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-w.turn:
		return r, nil
	case <-cancel:
		err = context.Canceled
	case <-timeout.C:
		switch {
		case w.full != nil:
			err = w.full
		case w.need > 0:
			err = fmt.Errorf("there was no memory for %d bytes of a run of user %d for %v: "+
				"read less at once: %w", w.need, uid, patience, unix.EBUSY)
		default:
			err = fmt.Errorf("%d runs of user %d were under way for %v: read less at once: %w",
				l.limits.Runs, uid, patience, unix.EBUSY)
		}
	}
	if r.account.leave(w) {
		return Run{}, err
	}
	return r, nil // its turn came just now
}

// enter counts a run. If it has to wait, enter returns the waiter.
func (l *Limiter) enter(uid uint32, r *Run) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uid != 0 && l.begun >= l.limits.Users {
		return nil, fmt.Errorf("%d runs of all users are under way: read less at once: %w",
			l.limits.Users, unix.EBUSY)
	}
	a := l.account(uid)
	need := max(l.needs[r.file], r.wants)
	var full error
	if most := a.most(); need > 0 && need > most {
		delete(l.needs, r.file) // the next run may be smaller
		full = a.tooLarge(need, most)
		if need > a.alone() {
			a.left()
			return nil, full
		}
	}
	r.account, r.reserved = a, need
	now := need == 0 || need <= a.room() && !slices.ContainsFunc(a.queue, isThirsty)
	if now && a.running < l.limits.Runs {
		a.begin(need)
		l.count(uid, 1)
		return nil, nil
	}
	if len(a.queue) >= l.limits.Waiting {
		a.left()
		return nil, fmt.Errorf("%d runs of user %d wait: read less at once: %w",
			l.limits.Waiting, uid, unix.EBUSY)
	}
	w := &waiter{turn: make(chan struct{}), need: need, full: full}
	a.queue = append(a.queue, w)
	l.thirst(w, 1)
	l.count(uid, 1)
	return w, nil
}

func isThirsty(w *waiter) bool { return w.need > 0 }

func (l *Limiter) count(uid uint32, runs int) {
	if uid != 0 {
		l.begun += runs
	}
}

func (l *Limiter) thirst(w *waiter, n int) {
	if w.need > 0 {
		l.thirsty += n
	}
}

// begin begins a run with the bytes that it needs.
func (a *Account) begin(need int64) {
	a.running++
	a.reserveRun(need)
}

func (a *Account) reserveRun(bytes int64) {
	a.add(0, bytes)
	a.inRuns += bytes
	a.limiter.inRuns.add(a.uid, bytes)
}

// room is how many bytes runs of the user may take now.
func (a *Account) room() int64 { return a.roomBeside(a.held, a.limiter.bytes) }

// most is how many bytes one run may take beside open files, when no other run is under way.
func (a *Account) most() int64 {
	all, runs := a.limiter.bytes, a.limiter.inRuns
	return a.roomBeside(a.held-a.inRuns, pool{taken: all.taken - runs.taken, others: all.others - runs.others})
}

// alone is how many bytes one run may take when nothing else is there.
func (a *Account) alone() int64 { return a.roomBeside(0, pool{}) }

// roomBeside is how many bytes runs may take beside these, own ones and all.
func (a *Account) roomBeside(held int64, all pool) int64 {
	l := a.limiter
	all.room = l.bytes.room - l.bytes.room/runShare
	left := all.left(a.uid, held)
	if a.uid != 0 {
		left = min(left, l.limits.Held-l.limits.Held/runShare-held)
	}
	return left
}

func (a *Account) tooLarge(need, most int64) error {
	return words.Errorf(unix.ENOBUFS, "a run takes %d bytes of memory, and user %d has %d for it beside "+
		"open files of %d bytes: close some, read a part of the tree, or give the mount more memory",
		need, a.uid, max(most, 0), a.held-a.inRuns)
}

// Take counts more bytes for the run. The error is unix.ENOBUFS if there is no room for them at all, and
// ErrTurn if there is none beside other runs and open files.
func (r *Run) Take(bytes int64) error {
	r.taken += bytes
	if r.taken <= r.reserved {
		return nil
	}
	a := r.account
	l := a.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if more := r.taken - r.reserved; more <= a.room() {
		a.reserveRun(more)
		r.reserved = r.taken
		return nil
	}
	most := a.most()
	if r.taken > a.alone() {
		delete(l.needs, r.file)
		return a.tooLarge(r.taken, most)
	}
	r.wants = max(r.taken, min(2*r.taken, most))
	return ErrTurn
}

// Wants is how many bytes the run wants after ErrTurn.
func (r *Run) Wants() int64 { return r.wants }

// Learn remembers the bytes that the run took, for the next run of the same file.
func (r *Run) Learn() {
	if r.taken == 0 && r.reserved == 0 {
		return
	}
	l := r.account.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.needs) >= mostNeed {
		clear(l.needs)
	}
	if l.needs[r.file] = r.taken; r.taken == 0 {
		delete(l.needs, r.file)
	}
}

// Hold charges the user for an open file with the result of the run, in place of the bytes that the run took.
func (r *Run) Hold(bytes int64) (*Account, error) {
	l := r.account.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	r.giveBack()
	if err := r.account.reserve(1, bytes); err != nil {
		return nil, err
	}
	r.account.uses++
	return r.account, nil
}

// Charge adds bytes to the charge of an open file, in place of the bytes that the run took.
func (r *Run) Charge(a *Account, bytes int64) error {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	r.giveBack()
	return a.reserve(0, bytes)
}

func (r *Run) giveBack() {
	if r.reserved > 0 {
		r.account.reserveRun(-r.reserved)
		r.reserved = 0
	}
}

// End ends the run, and gives its place and its bytes to runs that wait.
func (r *Run) End() {
	a := r.account
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	r.giveBack()
	a.running--
	a.limiter.count(a.uid, -1)
	a.left()
	a.advance()
	a.limiter.wake()
}

// wake begins the runs of all users that have waited for bytes that are free now.
func (l *Limiter) wake() {
	if l.thirsty > 0 {
		for _, a := range l.accounts {
			a.advance()
		}
	}
}

// advance begins runs of the user in their turn, those that have waited longest first. One that needs
// bytes waits for those before it that do.
func (a *Account) advance() {
	l, thirsty := a.limiter, false
	for i := 0; i < len(a.queue) && a.running < l.limits.Runs; {
		w := a.queue[i]
		if w.need > 0 && (thirsty || w.need > a.room()) {
			thirsty = true
			i++
			continue
		}
		a.queue = slices.Delete(a.queue, i, i+1)
		l.thirst(w, -1)
		a.begin(w.need)
		close(w.turn)
	}
}

// leave takes back a run that waits. It returns false if its turn has come.
func (a *Account) leave(w *waiter) bool {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	i := slices.Index(a.queue, w)
	if i < 0 {
		return false
	}
	a.queue = slices.Delete(a.queue, i, i+1)
	a.limiter.thirst(w, -1)
	a.limiter.count(a.uid, -1)
	a.left()
	a.advance()
	return true
}
