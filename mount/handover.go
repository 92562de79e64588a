package mount

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// errLeft ends the loops of a server that has handed its place over.
var errLeft = errors.New("another server has taken over")

// begin takes a region for this server, and what a dead server left in both. In a trial that is answered one after the
// other, each for a moment alone: the server before died of one of them, and so it is known of which if this one dies, too.
func (s *server) begin(region int, trial bool) {
	used := s.open(region)
	lent, _ := s.state.region(1 - region)
	left := append(s.found(used, false), s.found(lent, true)...)
	for start := time.Now(); trial && len(left) > 0 && time.Since(start) < trialsTime; left = left[1:] {
		s.try(left[0])
	}
	s.requeue(left)
}

// beginBeside takes a region while another server may still answer what its own predecessor left there, and what is in
// its own region. What remains of that when it has ended is this server's: see takeOver.
func (s *server) beginBeside(region int) {
	for _, slot := range s.open(region) {
		if slot.left() != nil {
			s.borrowed = append(s.borrowed, slot)
		} else {
			s.slots.put(slot)
		}
	}
	s.beside.Store(true)
}

// withOther reports whether a server that has left its place to this one has a request with a unique number.
func (s *server) withOther(unique uint64) bool {
	if !s.beside.Load() {
		return false
	}
	used, _ := s.state.region(1 - s.region)
	return slices.ContainsFunc(slices.Concat(used, s.borrowed), func(slot slot) bool {
		r := slot.left()
		return r != nil && r.unique() == unique
	})
}

// takeOver answers what a server has left that has ended now.
func (s *server) takeOver() {
	s.beside.Store(false)
	lent, _ := s.state.region(1 - s.region)
	s.requeue(append(s.found(s.borrowed, false), s.found(lent, true)...))
}

// open makes a region this server's, and gives the slots of it that were ever used.
func (s *server) open(region int) []slot {
	s.region = region
	used, unused := s.state.region(region)
	s.slots = pool{state: s.state, region: region, unused: unused}
	return used
}

// found gives the requests in slots. Slots without one are this server's, unless they are lent from another's region.
func (s *server) found(slots []slot, lent bool) (left []entry) {
	for _, slot := range slots {
		r := slot.left()
		switch {
		case r != nil:
			left = append(left, entry{slot: slot, unique: r.unique(), uid: s.user(r), lent: lent, found: true})
		case !lent:
			s.mu.Lock()
			s.slots.put(slot)
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
		s.startHelper()
	}
}

// trialTime is for how long a request is tried alone: most are done before, or have brought the server down. trialsTime bounds
// all of that, because nobody else is served meanwhile.
const (
	trialTime  = 100 * time.Millisecond
	trialsTime = 2 * time.Second
)

// try answers a request alone for a moment. One that nobody had begun yet is no suspect.
func (s *server) try(e entry) {
	if e.slot.left().waits() {
		s.requeue([]entry{e})
		return
	}
	s.state.setTrial(e.slot.left().node())
	s.mu.Lock()
	l := s.newLoop()
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer l.stop()
		l.answerEntry(e)
		s.mu.Lock()
		s.giveBack(e)
		s.mu.Unlock()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(trialTime):
	}
	s.state.setTrial(0)
}

// unanswered tells whether the kernel still waits for the reply to a request: a server may have died between its reply
// and the clearing of its slot, and what the request does must not be done twice. If somebody has interrupted it the INTERRUPT,
// which the dead server may have read, comes anew.
func (s *server) unanswered(r request) bool {
	switch r.opcode() {
	case opInterrupt, opForget, opBatchForget: // these have no reply
		return true
	}
	return s.interruptAgain(r.unique()) != unix.ENOENT
}

// interruptAgain has the kernel send the INTERRUPT of a request once more: that is what it takes a certain reply to an INTERRUPT
// for (fuse_dev_do_write in fs/fuse/dev.c). ENOENT: the request is gone; EINVAL: nobody has interrupted it.
func (s *server) interruptAgain(unique uint64) error { return s.reply(unique|1, unix.EAGAIN) }

// leave makes room for a server that reads from now on. Requests that were read are answered, but for those that are known
// to take long and have not begun: they stay in their slots. When no others are left run returns errLeft. There is no way to
// call back a leader that is in read(2): it may take one more request before. One that is taken as the process ends stays in its
// slot, for the other server.
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
