package fs

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound the work that one user id can cause by reading. The user id is the one of the request, in the
// initial user namespace. Zero means the default.
type Limits struct {
	// Runs is how many runs of one user may be under way at once; more wait. Default: 8, or twice the
	// CPUs.
	Runs int
	// Wait is how long a run may wait for its turn before it gives EBUSY. Waiting is how many runs of one
	// user may wait; one more is EBUSY at once, so that no user can occupy every loop. Defaults: 10 s,
	// 256.
	Wait    time.Duration
	Waiting int
	// Users is how many runs of all users but root may be under way or wait; one more is EBUSY at once.
	// Without it two users together could occupy every loop. Default: 384.
	Users int
	// Held is how many bytes of runs and listings the open files and directories of one user other than
	// root may hold. Total is the limit for all users; more is ENOBUFS. Defaults: 256 MiB, 1 GiB. Total
	// can change, see [FS.SetTotal].
	Held, Total int64
}

func (l Limits) withDefaults() Limits {
	if l.Runs == 0 {
		l.Runs = max(8, 2*runtime.NumCPU())
	}
	if l.Wait == 0 {
		l.Wait = 10 * time.Second
	}
	if l.Waiting == 0 {
		l.Waiting = 256
	}
	if l.Users == 0 {
		l.Users = 384
	}
	if l.Held == 0 {
		l.Held = 256 << 20
	}
	if l.Total == 0 {
		l.Total = 1 << 30
	}
	return l
}

// limiter counts the work under way of all users.
type limiter struct {
	Limits
	mu       sync.Mutex
	accounts map[uint32]*account
	begun    int // runs of users other than root that wait or are under way
	files    pool
	bytes    pool
}

// account counts the work under way of one user. All but limiter and uid is protected by limiter.mu.
type account struct {
	limiter *limiter
	uid     uint32

	users   int // runs that wait or are under way, open files and directories
	running int // runs
	queue   []chan struct{}
	files   int64 // open files
	held    int64 // bytes
}

// keepAccounts is how many accounts of idle users are kept for the next time.
const keepAccounts = 64

func newLimiter(l Limits) *limiter {
	l = l.withDefaults()
	return &limiter{
		Limits:   l,
		accounts: make(map[uint32]*account),
		files:    pool{room: maxRecords - 1},
		bytes:    pool{room: l.Total},
	}
}

// account returns a user's account, and counts one more use of it.
func (l *limiter) account(uid uint32) *account {
	a := l.accounts[uid]
	if a == nil {
		a = &account{limiter: l, uid: uid}
		l.accounts[uid] = a
	}
	a.users++
	return a
}

// left ends one use that account began.
func (a *account) left() {
	if a.users--; a.users == 0 && len(a.limiter.accounts) > keepAccounts {
		delete(a.limiter.accounts, a.uid)
	}
}

// sum adds up the work under way of all users.
func (l *limiter) sum() (all struct{ users, held, waiting int }) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		all.users += a.users
		all.held += int(a.held)
		all.waiting += len(a.queue)
	}
	return all
}

// hold charges a user for an open file (files is 1) or directory (0), and for the bytes that it holds.
func (l *limiter) hold(uid uint32, files, bytes int64) (*account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(uid)
	err := a.take(files, bytes)
	if err != nil {
		a.left()
		return nil, err
	}
	return a, nil
}

// force is hold without limits, because another server has granted it before.
func (l *limiter) force(uid uint32, files, bytes int64) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(uid)
	a.add(files, bytes)
	return a
}

// charge adds to the charge of hold. If force is set it is always granted.
func (a *account) charge(bytes int64, force bool) error {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	if force {
		a.add(0, bytes)
		return nil
	}
	return a.take(0, bytes)
}

// release undoes hold.
func (a *account) release(files, bytes int64) {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.add(-files, -bytes)
	a.left()
}

func (a *account) take(files, bytes int64) error {
	l := a.limiter
	switch {
	case files > 0 && !l.files.grants(a.uid, a.files, files):
		return fmt.Errorf("user %d has %d open files of %d of all users: close some: %w",
			a.uid, a.files, l.files.taken, unix.ENFILE)
	case bytes <= 0:
	case a.uid != 0 && a.held+bytes > l.Held:
		return fmt.Errorf("open files of user %d would hold %d bytes, %d is the limit: "+
			"close some: %w", a.uid, a.held+bytes, l.Held, unix.ENOBUFS)
	case !l.bytes.grants(a.uid, a.held, bytes):
		return fmt.Errorf("open files of user %d hold %d bytes of %d of all users, "+
			"and there is room for %d: close some: %w",
			a.uid, a.held, l.bytes.taken, l.bytes.room, unix.ENOBUFS)
	}
	a.add(files, bytes)
	return nil
}

func (a *account) add(files, bytes int64) {
	a.files += files
	a.held += bytes
	a.limiter.files.add(a.uid, files)
	a.limiter.bytes.add(a.uid, bytes)
}

// begin waits for the turn of one run of a user. Call end on the account afterwards.
func (l *limiter) begin(cancel <-chan struct{}, uid uint32) (*account, error) {
	a, turn, err := l.enter(uid)
	if err != nil || turn == nil {
		return a, err
	}
	timeout := time.NewTimer(l.Wait)
	defer timeout.Stop()
	select {
	case <-turn:
		return a, nil
	case <-cancel:
		err = context.Canceled
	case <-timeout.C:
		err = fmt.Errorf("%d runs of user %d were under way for %v: read less at once: %w",
			l.Runs, uid, l.Wait, unix.EBUSY)
	}
	if a.leave(turn) {
		return nil, err
	}
	return a, nil // its turn came just now
}

// enter counts a run. If it is not its turn, enter returns the channel to wait for.
func (l *limiter) enter(uid uint32) (_ *account, turn chan struct{}, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uid != 0 && l.begun >= l.Users {
		return nil, nil, fmt.Errorf("%d runs of all users are under way: read less at once: %w",
			l.Users, unix.EBUSY)
	}
	a := l.account(uid)
	switch {
	case a.running < l.Runs:
		a.running++
	case len(a.queue) >= l.Waiting:
		a.left()
		return nil, nil, fmt.Errorf("%d runs of user %d wait: read less at once: %w",
			l.Waiting, uid, unix.EBUSY)
	default:
		turn = make(chan struct{})
		a.queue = append(a.queue, turn)
	}
	l.count(uid, 1)
	return a, turn, nil
}

func (l *limiter) count(uid uint32, runs int) {
	if uid != 0 {
		l.begun += runs
	}
}

// leave takes back a run that waits. It returns false if its turn has come.
func (a *account) leave(turn chan struct{}) bool {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	for i, waits := range a.queue {
		if waits == turn {
			a.queue = append(a.queue[:i], a.queue[i+1:]...)
			a.limiter.count(a.uid, -1)
			a.left()
			return true
		}
	}
	return false
}

// end ends a run, and gives its place to the run that has waited longest.
func (a *account) end() {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	if len(a.queue) > 0 {
		close(a.queue[0])
		a.queue = a.queue[1:]
	} else {
		a.running--
	}
	a.limiter.count(a.uid, -1)
	a.left()
}
