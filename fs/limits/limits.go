// Package limits bounds the work that one user can cause by reading: runs, open files, and the bytes that
// these hold.
package limits

import (
	"runtime"
	"sync"
	"time"

	words "bpfviewfs/internal/errno"
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
	// Held is how many bytes the open files and directories of one user other than root may hold, and
	// the large runs that are under way. Total is the limit for all users; more is ENOBUFS. Defaults:
	// 256 MiB, 1 GiB. Total can change, see [Limiter.SetTotal].
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

// Limiter counts the work under way of all users.
type Limiter struct {
	limits   Limits
	mu       sync.Mutex
	accounts map[uint32]*Account
	begun    int // runs of users other than root that wait or are under way
	files    pool
	bytes    pool // of open files, directories and runs
	inRuns   pool // of these, by runs that are under way
	thirsty  int  // runs that wait for bytes
	needs    map[uint64]int64
}

// Account counts the work under way of one user. All but limiter and uid is protected by limiter.mu.
type Account struct {
	limiter *Limiter
	uid     uint32

	uses    int // runs that wait or are under way, open files and directories
	running int // runs
	queue   []*waiter
	files   int64 // open files
	held    int64 // bytes
	inRuns  int64 // of these, by runs that are under way
}

// keepAccounts is how many accounts of idle users are kept for the next time.
const keepAccounts = 64

// New returns a limiter for users that may have as many open files together.
func New(l Limits, files int64) *Limiter {
	l = l.withDefaults()
	return &Limiter{
		limits:   l,
		accounts: make(map[uint32]*Account),
		files:    pool{room: files},
		bytes:    pool{room: l.Total},
		needs:    make(map[uint64]int64),
	}
}

// account returns a user's account, and counts one more use of it.
func (l *Limiter) account(uid uint32) *Account {
	a := l.accounts[uid]
	if a == nil {
		a = &Account{limiter: l, uid: uid}
		l.accounts[uid] = a
	}
	a.uses++
	return a
}

// left ends one use that account began.
func (a *Account) left() {
	if a.uses--; a.uses == 0 && len(a.limiter.accounts) > keepAccounts {
		delete(a.limiter.accounts, a.uid)
	}
}

// Sum is the work under way of all users.
type Sum struct {
	Uses    int // runs that wait or are under way, open files and directories
	Held    int // bytes
	Waiting int // runs
}

// Sum adds up the work under way of all users.
func (l *Limiter) Sum() (all Sum) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		all.Uses += a.uses
		all.Held += int(a.held)
		all.Waiting += len(a.queue)
	}
	return all
}

// UID is the user's id.
func (a *Account) UID() uint32 { return a.uid }

// Hold charges a user for an open file (files is 1) or directory (0), and for the bytes that it holds.
func (l *Limiter) Hold(uid uint32, files, bytes int64) (*Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(uid)
	err := a.reserve(files, bytes)
	if err != nil {
		a.left()
		return nil, err
	}
	return a, nil
}

// Force is Hold without limits, because another server has granted it before.
func (l *Limiter) Force(uid uint32, files, bytes int64) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(uid)
	a.add(files, bytes)
	return a
}

// Charge adds to the charge of Hold. If force is set it is always granted.
func (a *Account) Charge(bytes int64, force bool) error {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	if bytes < 0 {
		defer a.limiter.wake()
	}
	if force {
		a.add(0, bytes)
		return nil
	}
	return a.reserve(0, bytes)
}

// Release undoes Hold.
func (a *Account) Release(files, bytes int64) {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.add(-files, -bytes)
	a.left()
	a.limiter.wake()
}

func (a *Account) reserve(files, bytes int64) error {
	l := a.limiter
	switch {
	case files > 0 && !l.files.grants(a.uid, a.files, files):
		return words.Errorf(unix.ENFILE, "user %d has %d open files of %d of all users: close some",
			a.uid, a.files, l.files.taken)
	case bytes <= 0:
	case a.uid != 0 && a.held+bytes > l.limits.Held:
		return words.Errorf(unix.ENOBUFS, "open files of user %d would hold %d bytes, %d is the limit: "+
			"close some", a.uid, a.held+bytes, l.limits.Held)
	case !l.bytes.grants(a.uid, a.held, bytes):
		return words.Errorf(unix.ENOBUFS, "open files of user %d hold %d bytes of %d of all users, "+
			"and there is room for %d: close some",
			a.uid, a.held, l.bytes.taken, l.bytes.room)
	}
	a.add(files, bytes)
	return nil
}

func (a *Account) add(files, bytes int64) {
	a.files += files
	a.held += bytes
	a.limiter.files.add(a.uid, files)
	a.limiter.bytes.add(a.uid, bytes)
}
