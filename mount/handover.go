package mount

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// errLeft ends the loops of a server that has handed its place over.
var errLeft = errors.New("another server has taken over")

// take makes the loops answer what a dead server left in slots, which are this server's own or lent from another
// region. In a trial they are answered one after the other, each for a moment alone: the server before died of one of
// them, and so it is known of which if this one dies, too.
func (s *server) take(slots []slot, lent, trial bool) {
	for _, slot := range slots {
		r := slot.left()
		if r == nil {
			if !lent {
				s.mu.Lock()
				s.free = append(s.free, slot)
				s.mu.Unlock()
			}
			continue
		}
		done := make(chan struct{})
		if trial {
			s.state.setTrial(r.node())
		}
		s.resume(slot, lent, done)
		if trial {
			select {
			case <-done:
			case <-time.After(trialTime):
			}
			s.state.setTrial(0)
		}
	}
}

// takeEmpty gives the loops those slots that have no request, and returns the others: the server that is about to leave
// may be answering what its own predecessor left there. What remains when that has ended is this server's.
func (s *server) takeEmpty(slots []slot) (borrowed []slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range slots {
		if slot.left() != nil {
			borrowed = append(borrowed, slot)
		} else {
			s.free = append(s.free, slot)
		}
	}
	return borrowed
}

// trialTime is for how long a request is tried alone. Most are done before, or have brought the server down.
const trialTime = 100 * time.Millisecond

// resume starts a loop that first answers the request in its slot.
func (s *server) resume(slot slot, lent bool, done chan<- struct{}) {
	l := &loop{server: s, slot: slot, lent: lent}
	s.mu.Lock()
	s.loops[l] = struct{}{}
	s.mu.Unlock()
	s.group.Go(func() {
		r := l.slot.left()
		if l.unanswered(r) {
			l.handle(r)
		} else {
			l.slot.done()
		}
		close(done)
		if lent || !l.wait() {
			l.stop()
			return
		}
		l.run()
	})
}

// unanswered tells whether the kernel still waits for the reply to a request: a server may have died between its reply
// and the clearing of its slot, and what the request does must not be done twice. It sends the reply to an INTERRUPT of the
// request, one that asks to be interrupted again (fuse_dev_do_write in fs/fuse/dev.c): ENOENT if the request is gone,
// EINVAL if nobody has interrupted it; and if somebody has, the INTERRUPT, which the dead server may have read, comes anew.
func (s *server) unanswered(r request) bool {
	switch r.opcode() {
	case opInterrupt, opForget, opBatchForget: // these have no reply
		return true
	}
	var reply [replyHeader]byte
	putReply(reply[:], replyHeader, -int32(unix.EAGAIN), r.unique()|1)
	_, err := unix.Write(s.conn.fd, reply[:])
	return err != unix.ENOENT
}

// leave makes room for a server that reads from now on: loops end after the request that they are at, and when there is
// none run returns errLeft. Up to maxIdle loops are in read(2) then, and there is no way to call them back: each may
// take one more request before. One that is taken as the process ends stays in its slot, for the other server.
func (s *server) leave() {
	s.leaving.Store(true)
	go func() {
		for len(s.inWork()) > 0 {
			time.Sleep(time.Millisecond)
		}
		s.end(errLeft)
	}()
}
