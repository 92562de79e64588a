package server

import (
	"errors"
	"slices"
	"time"

	"bpfviewfs/mount/handoff"
	"golang.org/x/sys/unix"
)

// errLeft ends the loops of a server that another one has replaced.
var errLeft = errors.New("another server has taken over")

// begin takes a region for this server and answers the requests that a dead server left in both. In a trial
// it answers them one after the other, each for a moment alone. If this server dies, too, the keeper then
// knows which request did it.
func (s *server) begin(region int, trial bool) {
	used := s.open(region)
	lent, _ := s.requests.Region(1 - region)
	left := append(s.found(used, false), s.found(lent, true)...)
	for start := time.Now(); trial && len(left) > 0 && time.Since(start) < trialsTime; left = left[1:] {
		s.try(left[0])
	}
	s.requeue(left)
}

// beginBeside takes a region while another server may still answer requests in both regions. When that server
// has ended, takeOver answers the rest.
func (s *server) beginBeside(region int) {
	for _, slot := range s.open(region) {
		if slot.Left() != nil {
			s.borrowed = append(s.borrowed, slot)
		} else {
			s.slots.Put(slot)
		}
	}
	s.beside.Store(true)
}

// withOther reports whether the server that hands over to this one has a request with a unique number.
func (s *server) withOther(unique uint64) bool {
	if !s.beside.Load() {
		return false
	}
	used, _ := s.requests.Region(1 - s.region)
	return slices.ContainsFunc(slices.Concat(used, s.borrowed), func(slot handoff.Slot) bool {
		r := slot.Left()
		return r != nil && r.Unique() == unique
	})
}

// takeOver answers the requests that the previous server has left at its end.
func (s *server) takeOver() {
	s.ends.Lock()
	defer s.ends.Unlock()
	s.beside.Store(false)
	lent, _ := s.requests.Region(1 - s.region)
	s.requeue(append(s.found(s.borrowed, false), s.found(lent, true)...))
}

// open makes a region this server's, and returns the slots of it that were ever used.
func (s *server) open(region int) (used []handoff.Slot) {
	s.region = region
	used, s.slots = s.requests.Claim(region)
	return used
}

// found returns the requests in slots. Empty slots go to this server's pool, unless they are lent from the
// other region.
func (s *server) found(slots []handoff.Slot, lent bool) (left []entry) {
	for _, slot := range slots {
		r := slot.Left()
		switch {
		case r != nil:
			r.SetUndecided()
			left = append(left,
				entry{slot: slot, unique: r.Unique(), uid: s.user(r), lent: lent, found: true})
		case !lent:
			s.mu.Lock()
			s.slots.Put(slot)
			s.mu.Unlock()
		}
	}
	return left
}

// requeue queues requests that another server has left.
func (s *server) requeue(left []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range left {
		s.add(e)
	}
	if s.queue.length > 0 {
		s.startHelper(1)
	}
}

// trialTime is how long a request is tried alone. Most are done earlier, or have crashed the server.
// trialsTime bounds all trials, because other readers wait meanwhile.
const (
	trialTime  = 100 * time.Millisecond
	trialsTime = 2 * time.Second
)

// try answers a request alone for a moment. A request that no server had begun is no suspect.
func (s *server) try(e entry) {
	if e.slot.Left().Waits() {
		s.requeue([]entry{e})
		return
	}
	s.requests.SetTrial(e.slot.Left().Node())
	s.mu.Lock()
	l := s.newLoop()
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer l.stop()
		l.answerEntry(e, l.clock())
		s.mu.Lock()
		s.giveBack(e)
		s.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(trialTime):
	}
	s.requests.SetTrial(0)
}

// unanswered reports whether the kernel still waits for the reply to a request. A server may have died
// between its reply and the clearing of its slot, and a request must not be executed twice. If the caller was
// interrupted, the kernel sends the INTERRUPT again, because the dead server may have read the first.
func (s *server) unanswered(r handoff.Request) bool {
	switch r.Opcode() {
	case opInterrupt, opForget, opBatchForget: // these have no reply
		return true
	}
	return s.interruptAgain(r.Unique()) != unix.ENOENT
}

// interruptAgain has the kernel send the INTERRUPT of a request once more, which is the meaning of EAGAIN as
// the reply to an INTERRUPT (fuse_dev_do_write in fs/fuse/dev.c). ENOENT means that the request is gone,
// EINVAL that it was not interrupted.
func (s *server) interruptAgain(unique uint64) error { return s.reply(unique|1, unix.EAGAIN) }

// leave lets another server read from now on. This server answers the requests that it has read. Slow
// requests that have not begun stay in their slots. Then run returns errLeft. A leader in read(2) cannot be
// called back, so it may take one more request. If the process ends first, that request stays in its slot for
// the other server.
func (s *server) leave() {
	s.leaving.Store(true)
	s.requeue(nil)
	go func() {
		for s.busy() {
			time.Sleep(time.Millisecond)
		}
		s.end(errLeft)
	}()
}

// busy reports whether requests are in work, or wait and will not take long.
func (s *server) busy() bool {
	s.mu.Lock()
	waiting := s.queue.length
	s.mu.Unlock()
	return waiting > 0 || len(s.inWork()) > 0
}
