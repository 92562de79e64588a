package fs

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what one user id can make the kernel and the server do by reading. The user id is the one that the
// request came with, in the initial user namespace. Zero stands for the default.
type Limits struct {
	// Runs is how many runs of one user may be under way at once; more wait. Default: 8, or twice the CPUs.
	Runs int
	// Wait is for how long a run may wait for its turn before it gives EBUSY, and Waiting how many of one user's may:
	// one more is EBUSY at once, so that nobody can use up what requests are served with. Defaults: 10 s, 256.
	Wait    time.Duration
	Waiting int
	// Users is how many runs of all users but root may be under way or wait; one more is EBUSY at once: two users must not use
	// up together what one cannot. Default: 384.
	Users int
	// Held is how many bytes of runs and listings the open files and directories of one user other than root may hold; more is
	// ENOBUFS. Default: 256 MiB.
	Held int64
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
	return l
}

// limiter starts runs, within the limits of their users.
type limiter struct {
	Limits
	mu       sync.Mutex
	accounts map[uint32]*account // of users who run or hold something
	begun    int                 // runs of users other than root that wait or are under way
}

// account is what one user has under way.
type account struct {
	limiter *limiter
	uid     uint32
	running chan struct{} // one element a run

	// Under limiter.mu:
	users   int // runs that wait, are under way or are held, and listings
	waiting int
	held    int64 // bytes
}

func newLimiter(l Limits) *limiter {
	return &limiter{Limits: l.withDefaults(), accounts: make(map[uint32]*account)}
}

func (l *limiter) account(uid uint32) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[uid]
	if a == nil {
		a = &account{limiter: l, uid: uid, running: make(chan struct{}, l.Runs)}
		l.accounts[uid] = a
	}
	a.users++
	return a
}

// sum adds up what all users have under way.
func (l *limiter) sum() (all struct{ held, waiting int }) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		all.held += int(a.held)
		all.waiting += a.waiting
	}
	return all
}

// charge accounts for bytes that will be held.
func (a *account) charge(bytes int64) error {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	if a.uid != 0 && a.held+bytes > a.limiter.Held {
		return fmt.Errorf("open files of user %d would hold %d bytes, %d is the limit: close some: %w",
			a.uid, a.held+bytes, a.limiter.Held, unix.ENOBUFS)
	}
	a.held += bytes
	return nil
}

// hold gives an empty run of a user's, to be filled with what the user holds already.
func (l *limiter) hold(uid uint32) *run {
	r := newRun()
	r.account = l.account(uid)
	return r
}

// force is charge for what the user has been granted before.
func (a *account) force(bytes int64) {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.held += bytes
}

// release ends what account and charge began.
func (a *account) release(bytes int64) {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.held -= bytes
	if a.users--; a.users == 0 {
		delete(a.limiter.accounts, a.uid)
	}
}

// run makes one run, in its user's turn.
func (l *limiter) run(cancel <-chan struct{}, uid uint32, generate func(context.Context, []byte) ([]byte, error)) (*run, error) {
	if !l.begin(uid) {
		return nil, fmt.Errorf("%d runs of all users are under way: read less at once: %w", l.Users, unix.EBUSY)
	}
	defer l.end(uid)
	a := l.account(uid)
	if err := a.enter(cancel); err != nil {
		a.release(0)
		return nil, err
	}
	defer func() { <-a.running }()
	return a.generate(request{context.Background(), cancel}, generate)
}

// begin counts a run; false when there are too many.
func (l *limiter) begin(uid uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case uid == 0:
	case l.begun >= l.Users:
		return false
	default:
		l.begun++
	}
	return true
}

func (l *limiter) end(uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if uid != 0 {
		l.begun--
	}
}

// request is a context that is done when the kernel interrupts the request.
type request struct {
	context.Context
	cancel <-chan struct{}
}

func (r request) Done() <-chan struct{} { return r.cancel }

func (r request) Err() error {
	select {
	case <-r.cancel:
		return context.Canceled
	default:
		return nil
	}
}

// enter waits for the user's turn.
func (a *account) enter(cancel <-chan struct{}) error {
	select {
	case a.running <- struct{}{}:
		return nil
	default:
	}
	if !a.wait(1) {
		return fmt.Errorf("%d runs of user %d wait: read less at once: %w", a.limiter.Waiting, a.uid, unix.EBUSY)
	}
	defer a.wait(-1)
	timeout := time.NewTimer(a.limiter.Wait)
	defer timeout.Stop()
	select {
	case a.running <- struct{}{}:
		return nil
	case <-cancel:
		return context.Canceled
	case <-timeout.C:
		return fmt.Errorf("%d runs of user %d were under way for %v: read less at once: %w",
			a.limiter.Runs, a.uid, a.limiter.Wait, unix.EBUSY)
	}
}

// wait counts those who wait; false when one more is too many.
func (a *account) wait(one int) bool {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	if a.waiting+one > a.limiter.Waiting {
		return false
	}
	a.waiting += one
	return true
}

// generate fills a run and charges the user for it; the account is released when the run is done with.
func (a *account) generate(ctx context.Context, generate func(context.Context, []byte) ([]byte, error)) (_ *run, err error) {
	r := newRun()
	r.account = a
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v: please report it", p)
		}
		if err != nil {
			r.done()
		}
	}()
	if r.data, err = generate(ctx, r.data); err != nil {
		return nil, err
	}
	cost := r.fit()
	if err := a.charge(cost); err != nil {
		return nil, err
	}
	r.charged = cost
	return r, nil
}
