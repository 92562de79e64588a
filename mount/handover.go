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
	start := time.Now()
	for _, slot := range slots {
		trial := trial && time.Since(start) < trialsTime
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

// trialTime is for how long a request is tried alone: most are done before, or have brought the server down. trialsTime bounds
// all of that, as nobody else is served meanwhile.
const (
	trialTime  = 100 * time.Millisecond
	trialsTime = 2 * time.Second
)

// resume starts a loop that first answers the request in its slot.
func (s *server) resume(slot slot, lent bool, done chan<- struct{}) {
	l := &loop{server: s, slot: slot, lent: lent}
	s.mu.Lock()
	s.loops[l] = struct{}{}
	s.mu.Unlock()
	go func() {
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
	}()
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
func (s *server) interruptAgain(unique uint64) error {
	var reply [replyHeader]byte
	putReply(reply[:], replyHeader, -int32(unix.EAGAIN), unique|1)
	_, err := unix.Write(s.conn.fd, reply[:])
	return err
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
