package mount

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// interruptGrace is for how long an interrupted request goes on as if nothing had happened, and then once more for how
// long the filesystem may take to heed it. Most requests are done in microseconds, and their callers need never know of
// a signal that they meant to ignore.
const interruptGrace = 50 * time.Millisecond

// interruptedBit marks the number of a request in work that is interrupted: the kernel's numbers are even.
const interruptedBit = 1

// interrupted sees to it that the request that r interrupts is answered soon. If it still waits for its turn it is taken out
// of the queue and answered EINTR. If it is in work the filesystem is told by the request's cancel channel. The filesystem may
// be in a system call that cannot be stopped, a run of a view above all, and the caller, who may have been killed, would
// be in D state until that ends: so EINTR is given in the filesystem's place. The answer that comes later is refused by the
// kernel, and undone: see refused. An INTERRUPT itself needs no answer.
func (s *server) interrupted(r request) {
	if len(r) < requestHeader+8 {
		return
	}
	unique := r.body(0) // struct fuse_interrupt_in
	if s.leaving.Load() {
		s.interruptAgain(unique) // what it interrupts may be the next server's, and this one may end before anything comes of it
		return
	}
	time.AfterFunc(interruptGrace, func() {
		if s.withdraw(unique) || !s.waits(unique) {
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
	s.reply(unique, unix.EINTR)
	e.slot.done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(e)
	return true
}

// interrupt closes the cancel channel of a request in work.
func (s *server) interrupt(unique uint64) {
	s.mu.Lock()
	for l := range s.loops {
		// Only who sets the mark closes the channel, and the loop waits for that before it makes another.
		if l.unique.CompareAndSwap(unique, unique|interruptedBit) {
			close(l.cancel)
		}
	}
	s.mu.Unlock()
	s.ask(opInterrupt, 0, unique)
}

// waits tells whether a request is in work, here or at a server that has left its place to this one.
func (s *server) waits(unique uint64) bool {
	return slices.Contains(s.inWork(), unique) || s.withOther(unique)
}

// giveUp answers EINTR to a request that is still in work.
func (s *server) giveUp(unique uint64) {
	if s.waits(unique) {
		s.reply(unique, unix.EINTR) // ENOENT: answered just now
	}
}
