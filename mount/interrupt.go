package mount

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// interruptGrace is for how long an interrupted request goes on as if nothing had happened, and then once more for how
// long the filesystem may take to heed it. Most requests are done in microseconds, and their callers need never know of
// a signal that they meant to ignore.
const interruptGrace = 50 * time.Millisecond

// interrupted sees to it that the request that r interrupts is answered soon. The filesystem is told by the request's
// cancel channel. It may be in a system call that cannot be stopped, a run of a view above all, and the caller, who may
// have been killed, would be in D state until that ends: so EINTR is given in the filesystem's place. The answer that
// comes later is refused by the kernel, and undone: see refused. An INTERRUPT itself needs no answer.
func (s *server) interrupted(r request) {
	if len(r) < requestHeader+8 {
		return
	}
	unique := binary.NativeEndian.Uint64(r[requestHeader:]) // struct fuse_interrupt_in
	if s.leaving.Load() {
		s.interruptAgain(unique) // what it interrupts may be the next server's, and this one may end before anything comes of it
		return
	}
	time.AfterFunc(interruptGrace, func() {
		if !s.waits(unique) {
			return
		}
		s.ask(opInterrupt, 0, unique)
		time.AfterFunc(interruptGrace, func() { s.giveUp(unique) })
	})
}

// waits tells whether a request is in work, here or at a server that has left its place to this one.
func (s *server) waits(unique uint64) bool {
	if slices.Contains(s.inWork(), unique) {
		return true
	}
	others := s.others.Load()
	return others != nil && slices.ContainsFunc(*others, func(slot slot) bool {
		r := slot.left()
		return r != nil && r.unique() == unique
	})
}

// giveUp answers EINTR to a request that is still in work.
func (s *server) giveUp(unique uint64) {
	if !s.waits(unique) {
		return
	}
	var reply [replyHeader]byte
	putReply(reply[:], replyHeader, -int32(unix.EINTR), unique)
	s.conn.mu.RLock()
	defer s.conn.mu.RUnlock()
	if s.conn.fd >= 0 {
		unix.Write(s.conn.fd, reply[:]) // ENOENT: answered just now
	}
}
