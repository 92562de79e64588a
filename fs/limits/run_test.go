package limits

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// total is such that runs of root may take 700 bytes, and those of one other user 525 while root has none.
const total = 800

// begun is the result of a Begin that another goroutine waits for.
type begun struct {
	run Run
	err error
}

func (l *Limiter) later(cancel <-chan struct{}, uid uint32, file uint64, wants int64) <-chan begun {
	c := make(chan begun, 1)
	before := l.Sum().Waiting
	go func() {
		r, err := l.Begin(cancel, uid, file, wants)
		c <- begun{r, err}
	}()
	for l.Sum().Waiting == before && len(c) == 0 {
		time.Sleep(time.Millisecond)
	}
	return c
}

func mustBegin(t *testing.T, l *Limiter, uid uint32, wants int64) *Run {
	t.Helper()
	r, err := l.Begin(nil, uid, 0, wants)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func mustTake(t *testing.T, r *Run, bytes int64) {
	t.Helper()
	if err := r.Take(bytes); err != nil {
		t.Fatal(err)
	}
}

// mustBeIdle checks that nothing of any run or file is left.
func mustBeIdle(t *testing.T, l *Limiter) {
	t.Helper()
	if s := l.Sum(); s != (Sum{}) || l.thirsty != 0 || l.begun != 0 ||
		l.bytes != (pool{room: l.bytes.room}) || l.inRuns != (pool{}) || l.files.taken != 0 {
		t.Errorf("left: %+v, %+v", s, l)
	}
	for uid, a := range l.accounts {
		if a.running != 0 || a.inRuns != 0 || a.held != 0 || len(a.queue) != 0 {
			t.Errorf("left of user %d: %+v", uid, a)
		}
	}
}

// TestTake has one run take bytes beside another run and an open file.
func TestTake(t *testing.T) {
	for _, c := range []struct {
		name         string
		uid          uint32
		run, file    int64 // bytes of others
		wants, takes int64
		begins, err  error
		again        int64
	}{
		{name: "alone", takes: 700},
		{name: "alone as a user", uid: 7, takes: 525},
		{name: "beside a run", run: 300, takes: 400},
		{name: "beside a file", file: 300, takes: 400},
		{name: "known", wants: 700, takes: 700},
		{name: "more than known", wants: 100, takes: 700},
		{name: "more than all", takes: 701, err: unix.ENOBUFS},
		{name: "more than all of a user", uid: 7, takes: 526, err: unix.ENOBUFS},
		{name: "known to be more than all", wants: 701, begins: unix.ENOBUFS},
		{name: "more than beside a file", file: 300, takes: 401, err: ErrTurn, again: 401},
		{name: "known to be more than beside a file", file: 300, wants: 401, begins: unix.ENOBUFS},
		{name: "more than beside a run", run: 600, takes: 110, err: ErrTurn, again: 220},
		{name: "most of all beside a run", run: 600, takes: 650, err: ErrTurn, again: 700},
		{name: "beside a run and a file", run: 400, file: 200, takes: 110, err: ErrTurn, again: 220},
		{name: "too much beside a run and a file", run: 400, file: 200, takes: 501, err: ErrTurn, again: 501},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Limits{Total: total, Held: total}, 10)
			other := mustBegin(t, l, 0, 0)
			mustTake(t, other, c.run)
			file := l.Force(0, 1, c.file)
			r, err := l.Begin(nil, c.uid, 1, c.wants)
			if !errors.Is(err, c.begins) {
				t.Fatalf("it begins with %v", err)
			}
			if err == nil {
				err := r.Take(c.takes)
				if !errors.Is(err, c.err) || err == ErrTurn && r.Wants() != c.again {
					t.Errorf("it takes with %v, and wants %d", err, r.Wants())
				}
				r.End()
			}
			if held := l.Sum().Held; held != int(c.run+c.file) {
				t.Errorf("%d bytes are left", held)
			}
			file.Release(1, c.file)
			other.End()
			mustBeIdle(t, l)
		})
	}
}

// TestWaits has runs wait for the bytes of another one.
func TestWaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		wants  int64
		end    func(l *Limiter, other *Run, cancel chan struct{}) func()
		expect error
	}{
		{"until it has ended", 400, func(_ *Limiter, other *Run, _ chan struct{}) func() {
			other.End()
			return func() {}
		}, nil},
		{"until its file takes less", 400, func(_ *Limiter, other *Run, _ chan struct{}) func() {
			a, err := other.Hold(300)
			other.End()
			if err != nil {
				panic(err)
			}
			return func() { a.Release(1, 300) }
		}, nil},
		{"until its file is closed", 600, func(_ *Limiter, other *Run, _ chan struct{}) func() {
			a, err := other.Hold(300)
			other.End()
			if err != nil {
				panic(err)
			}
			a.Release(1, 300)
			return func() {}
		}, nil},
		{"until there is more memory", 400, func(l *Limiter, other *Run, _ chan struct{}) func() {
			l.SetTotal(2 * total)
			return other.End
		}, nil},
		{"until the reader gives up", 400, func(_ *Limiter, other *Run, cancel chan struct{}) func() {
			close(cancel)
			return other.End
		}, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := New(Limits{Total: total, Held: total, Wait: time.Hour}, 10)
			other, cancel := mustBegin(t, l, 0, 0), make(chan struct{})
			mustTake(t, other, 500)
			waits := l.later(cancel, 0, 0, c.wants)
			if len(waits) > 0 {
				t.Fatal("it does not wait")
			}
			after := c.end(l, other, cancel)
			b := <-waits
			if b.err != c.expect {
				t.Errorf("it ends with %v", b.err)
			}
			if b.err == nil {
				mustTake(t, &b.run, c.wants)
				b.run.End()
			}
			after()
			mustBeIdle(t, l)
		})
	}
}

// TestWaitsForClose has a run wait for the memory of an open file, which is closed, or is not.
func TestWaitsForClose(t *testing.T) {
	defer func(before time.Duration) { closeTime = before }(closeTime)
	for closes, patience := range map[bool]time.Duration{true: time.Hour, false: time.Nanosecond} {
		closeTime = patience
		l := New(Limits{Total: total, Held: total, Wait: time.Hour}, 10)
		file := l.Force(0, 1, 400)
		waits := l.later(nil, 0, 0, 400)
		if closes {
			file.Release(1, 400)
		}
		b := <-waits
		if closes {
			if b.err != nil {
				t.Fatalf("a run ends with %v when the file is closed", b.err)
			}
			b.run.End()
		} else {
			if !errors.Is(b.err, unix.ENOBUFS) {
				t.Errorf("a run ends with %v when the file is not closed", b.err)
			}
			file.Release(1, 400)
		}
		mustBeIdle(t, l)
	}
}

func TestWaitsNoLonger(t *testing.T) {
	l := New(Limits{Total: total, Wait: time.Nanosecond}, 10)
	other := mustBegin(t, l, 0, 700)
	if _, err := l.Begin(nil, 0, 0, 100); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a run that waits too long gets %v", err)
	}
	other.End()
	mustBeIdle(t, l)
}

// TestLearn holds that a run begins with the bytes that the last run of its file took, and that a file
// which was refused for that is tried again.
func TestLearn(t *testing.T) {
	l := New(Limits{Total: total, Held: total, Wait: time.Nanosecond}, 10)
	run := func(file uint64) error {
		r, err := l.Begin(nil, 0, file, 0)
		if err == nil {
			r.End()
		}
		return err
	}
	r, _ := l.Begin(nil, 0, 1, 0)
	mustTake(t, &r, 400)
	r.Learn()
	r.End()

	other := mustBegin(t, l, 0, 400)
	if err := run(1); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the next run of the file ends with %v", err)
	}
	if err := run(2); err != nil {
		t.Errorf("a run of another file ends with %v", err)
	}
	other.End()
	file := l.Force(0, 1, 400)
	if err := run(1); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("beside an open file it ends with %v", err)
	}
	if err := run(1); err != nil {
		t.Errorf("after that it ends with %v", err)
	}
	file.Release(1, 400)
	for file := range uint64(3 * mostNeed) {
		r, _ := l.Begin(nil, 0, file, 0)
		mustTake(t, &r, 1)
		r.Learn()
		r.End()
	}
	if len(l.needs) > mostNeed {
		t.Errorf("the needs of %d files are known", len(l.needs))
	}
	mustBeIdle(t, l)
}

// TestOrder holds that small runs and other users pass a run that waits for memory, and that no larger or
// smaller run of its user does.
func TestOrder(t *testing.T) {
	l := New(Limits{Total: total, Held: total, Wait: time.Hour}, 10)
	other := mustBegin(t, l, 0, 500)
	first := l.later(nil, 0, 0, 400)
	second := l.later(nil, 0, 0, 50)
	mustBegin(t, l, 0, 0).End()
	mustBegin(t, l, 7, 50).End()
	if len(first)+len(second) > 0 {
		t.Error("a run does not wait for its turn")
	}
	other.End()
	for _, c := range []<-chan begun{first, second} {
		b := <-c
		b.run.End()
	}
	mustBeIdle(t, l)
}

// TestRandomRuns has goroutines of three users begin, take, hold, release and give up. Never is more taken
// than there is, every run ends, and nothing is left.
func TestRandomRuns(t *testing.T) {
	l := New(Limits{Total: total, Held: total, Runs: 3, Wait: time.Hour}, 100)
	given := make(chan struct{})
	close(given)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			random, uid := rand.New(rand.NewPCG(uint64(i), 1)), uint32(i%3)
			for range 500 {
				wants := int64(0)
				for again := true; again; {
					var cancel <-chan struct{}
					if random.IntN(8) == 0 {
						cancel = given
					}
					r, err := l.Begin(cancel, uid, random.Uint64N(5), wants)
					if err != nil {
						break
					}
					for range random.IntN(4) {
						if err = r.Take(random.Int64N(200)); err != nil {
							break
						}
					}
					l.mu.Lock()
					all, runs := l.bytes.taken, l.inRuns.taken
					if all > total || runs > total-total/runShare || runs < 0 {
						t.Errorf("%d bytes are taken, %d by runs", all, runs)
					}
					l.mu.Unlock()
					if err == nil {
						r.Learn()
						if a, err := r.Hold(r.taken / 2); err == nil {
							a.Release(1, r.taken/2)
						}
					}
					wants, again = r.Wants(), err == ErrTurn
					r.End()
				}
			}
		})
	}
	all.Wait()
	mustBeIdle(t, l)
}
