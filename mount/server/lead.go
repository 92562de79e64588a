package server

import (
	"fmt"
	"runtime"
	"time"

	"bpfviewfs/mount/handoff"
	"golang.org/x/sys/unix"
)

// A read(2) that takes less than this found its request waiting, because a sleep and a wake-up take longer.
// This many in a row are a crowd if another request waits behind the last one. A single reader may get the
// CPU when the reply wakes it. Then its next request waits, too, when the leader goes on. But it has at most
// two requests waiting, a RELEASE and the next OPEN.
const (
	atOnce  = int64(3 * time.Microsecond)
	crowdAt = 4
)

// leads reports whether this loop reads.
func (l *loop) leads() bool {
	return l.leader.Load() == l && !l.leaving.Load() && !l.over.Load()
}

// lead reads requests and answers them until another loop leads, the server leaves, or the connection ends.
func (l *loop) lead() {
	l.turn.Store(l.turn.Load() | 1)
	for l.leads() {
		l.crowd() // first: another loop may have read ahead
		l.alone()
	}
	l.help()
	l.stop()
}

// alone answers each request before it reads the next, until many are waiting. It reads only if no quick
// request waits, because no other loop might look at the queue.
func (l *loop) alone() {
	end := l.clock()
	for ready := 0; ready < crowdAt && l.leads(); {
		l.yield(end)
		l.turn.Add(1)
		n, err := l.read(l.slot)
		l.turn.Add(1)
		if err != nil {
			l.end(err)
			return
		}
		l.watched()
		start := l.clock()
		r := handoff.Request(l.slot[:n])
		ready++
		if start-end >= atOnce || ready == crowdAt && (r.Opcode() == opRelease || !l.moreWait()) {
			ready = 0
		}
		end = start
		switch {
		case l.attend(r):
		case l.mustWait(r) && l.putOff(r):
			if l.waiting() > 0 { // another loop has just learned that it is quick
				return
			}
		default:
			end = l.work(l.slot, start)
		}
	}
}

// moreWait reports whether the kernel has another request.
func (s *server) moreWait() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, 0)
	return n > 0
}

// readEvery is how long the leader answers a crowd of one user before it looks for further requests. Each look
// ends with a read(2) that finds none. When another user comes, the leader looks after each request, and then
// less and less often, because that user's next request follows soon.
const readEvery = int64(50 * time.Microsecond)

// crowd reads ahead and answers the users in turn. It ends when nothing waits, or when a single reader's
// requests are all that waited, a few times in a row.
func (l *loop) crowd() {
	l.setNonblock(true)
	every, uid := readEvery, uint32(0)
	for few := 0; l.leads(); {
		l.yield(l.clock())
		l.readAhead()
		if few++; l.waiting() > 2 {
			few = 0
		}
		now, served := l.clock(), false
		for end := now + every; now < end && l.leads(); served = true {
			e, u, ok := l.next()
			if !ok {
				break
			}
			if e.uid != uid {
				uid, every, end = e.uid, 0, now
			}
			l.watched()
			l.turn.Add(2)
			now = l.serve(e, u, now)
		}
		if !served || few >= crowdAt && l.waiting() == 0 {
			break
		}
		every = min(2*every+int64(time.Microsecond), readEvery)
	}
	if l.leads() { // else the next leader has set the flag
		l.setNonblock(false)
	}
}

// readAhead queues all requests that the kernel has.
func (l *loop) readAhead() {
	for l.leads() {
		n, err := unix.Read(l.fd, l.slot)
		if err == nil {
			err = whole(n)
		}
		switch err {
		case nil:
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ENOENT, unix.ENOMEM, unix.EFAULT:
			continue
		default:
			l.end(err)
			return
		}
		l.turn.Add(2)
		l.watched() // the next read blocks if another server has cleared the flag
		if r := handoff.Request(l.slot[:n]); !l.attend(r) && !l.putOff(r) {
			l.work(l.slot, l.clock())
		}
	}
}

// read waits for the next request.
func (s *server) read(into []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, into)
		switch err {
		case nil:
			return n, whole(n)
		case unix.EAGAIN:
			s.setNonblock(false) // an earlier leader, in this process or another, set it
		case unix.EINTR:
		case unix.ENOENT: // the request was aborted while it was handed over
		case unix.ENOMEM, unix.EFAULT: // for its slot's pages; the kernel answers it with EIO
		default:
			return n, err
		}
	}
}

// yieldEvery is shorter than the 10 ms after which Go's monitor thread takes a goroutine's processor away.
const yieldEvery = int64(5 * time.Millisecond)

// yield lets Go's scheduler run now and then. If a goroutine has not yielded for 10 ms, the monitor thread
// takes its processor away in its next system call, and looks for such calls every 20 µs. That would take a
// fifth of the CPU time of a read. While slow requests are in work the leader does not yield, because one of
// them might take its place.
func (l *loop) yield(now int64) {
	if now-l.yielded < yieldEvery {
		return
	}
	l.yielded = now
	l.mu.Lock()
	slow := l.slow > 0
	l.mu.Unlock()
	if !slow {
		runtime.Gosched()
	}
}

// whole refuses a message that is no request. The kernel sends none.
func whole(n int) error {
	if n < handoff.RequestHeader {
		return fmt.Errorf("read a request: %d bytes are none: %w", n, unix.EPROTO)
	}
	return nil
}

// setNonblock says whether read(2) gives EAGAIN when there is no request. The flag belongs to the open file,
// which all servers of the mount share, so nothing relies on it. If read(2) blocks a leader that did not
// expect it, the next leader takes over; read clears a flag that was left.
func (s *server) setNonblock(on bool) {
	flags := 0
	if on {
		flags = unix.O_NONBLOCK
	}
	unix.FcntlInt(uintptr(s.fd), unix.F_SETFL, flags)
}

// attend does the work of a message that needs no turn.
func (l *loop) attend(r handoff.Request) bool {
	switch r.Opcode() {
	case opInterrupt:
		l.interrupted(r)
	case opForget, opBatchForget:
		l.indirect(r)
	default:
		return false
	}
	l.slot.Done()
	return true
}

// tick is how often the watcher looks at the leader. If no other goroutine runs it is 1 ms, because Go's
// timers then sleep in whole milliseconds. After so many looks without a request it ends.
const (
	tick      = 500 * time.Microsecond
	idleTicks = 8
)

// watched starts a watcher if there is none.
func (s *server) watched() {
	if !s.watching.Load() && s.watching.CompareAndSwap(false, true) {
		go s.watch()
	}
}

// watch looks at the leader every tick. If the leader is in one request for a whole tick, the watcher leads
// in its place, so that quick requests and INTERRUPTs get through. It ends when no requests come, so an idle
// server sleeps.
func (s *server) watch() {
	var leader *loop
	var turn uint64
	for still := 0; still < idleTicks; {
		time.Sleep(tick)
		if s.over.Load() {
			return
		}
		l := s.leader.Load()
		switch now := l.turn.Load(); {
		case l != leader || now != turn:
			leader, turn, still = l, now, 0
		case now%2 == 0:
			still++
		case s.succeed(l):
			return
		}
	}
	s.watching.Store(false)
	if leader.turn.Load() != turn { // a request came before the leader could see that it is not watched
		s.watched()
	}
}

// succeed leads in the place of a leader that is in a slow request. That loop helps afterwards.
func (s *server) succeed(stuck *loop) bool {
	s.mu.Lock()
	slot := s.slots.Get()
	if slot == nil {
		s.mu.Unlock()
		return false
	}
	l := s.newLoop()
	l.slot = slot
	s.mu.Unlock()
	if !s.leader.CompareAndSwap(stuck, l) {
		l.stop()
		return false
	}
	s.prices.raise(price(stuck.price.Load()), uint32(tick))
	go s.watch()
	l.lead()
	return true
}
