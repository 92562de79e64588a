package server

import (
	"slices"
	"time"

	"bpfviewfs/mount/handoff"
	"golang.org/x/sys/unix"
)

// interruptGrace is how long an interrupted request goes on unchanged, and then once more how long the
// filesystem may take to heed the interrupt. Most requests are done in microseconds, so that most callers
// never see EINTR for a signal that they ignore.
const interruptGrace = 50 * time.Millisecond

// interruptedBit marks the number of a request in work that is interrupted: the kernel's numbers are even.
const interruptedBit = 1

// interrupted makes sure that the request that r interrupts is answered soon. A request that waits for its
// turn is taken out of the queue and answered EINTR. For a request in work the filesystem is told by the
// cancel channel. If the filesystem is in a system call that cannot be stopped, for example a run of a view,
// its caller would stay in D state until that ends. So the loop answers EINTR itself. The kernel refuses the
// later answer, and the loop undoes it (see refused). An INTERRUPT itself needs no answer.
func (s *server) interrupted(r handoff.Request) {
	if len(r) < handoff.RequestHeader+8 {
		return
	}
	unique := r.Body(0) // struct fuse_interrupt_in
	if s.leaving.Load() {
		s.interruptAgain(unique) // its request may be with the next server, and this one may end soon
		return
	}
	time.AfterFunc(interruptGrace, func() {
		if s.withdraw(unique) {
			return
		}
		if !s.waits(unique) {
			// It is done, or a loop has read it and has had no CPU since.
			s.interruptAgain(unique)
			return
		}
		s.interrupt(unique)
		time.AfterFunc(interruptGrace, func() { s.giveUp(unique) })
	})
}

// withdraw answers EINTR to a request that waits for its turn.
func (s *server) withdraw(unique uint64) bool {
	s.mu.Lock()
	e, ok := s.queue.remove(unique)
	s.mu.Unlock()
	if !ok {
		return false
	}
	s.fail(unique, unix.EINTR)
	e.slot.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(e)
	return true
}

// interrupt closes the cancel channel of a request in work.
func (s *server) interrupt(unique uint64) {
	s.mu.Lock()
	for l := range s.loops {
		// Only the goroutine that sets the mark closes the channel. The loop waits for that before it
		// makes another.
		if l.unique.CompareAndSwap(unique, unique|interruptedBit) {
			close(l.cancel)
		}
	}
	s.mu.Unlock()
	s.ask(opInterrupt, 0, unique)
}

// waits reports whether a request is in work, here or at the server that hands over to this one.
func (s *server) waits(unique uint64) bool {
	return slices.Contains(s.inWork(), unique) || s.withOther(unique)
}

// giveUp answers EINTR to a request that is still in work, unless the filesystem has decided to answer it.
func (s *server) giveUp(unique uint64) {
	s.ends.Lock()
	defer s.ends.Unlock()
	if s.waits(unique) && s.requests.Decide(unique) {
		s.reply(unique, unix.EINTR) // ENOENT: answered just now
	}
}
