package server

import (
	"runtime"
	"time"

	"bpfviewfs/mount/handoff"
	"golang.org/x/sys/unix"
)

// maxQueued is how many requests may wait. The other slots are for requests in work. Fewer may wait while the
// server before has requests in slots of this one's region.
const maxQueued = handoff.MaxSlots - maxLoops - 64

// helpAt is how many requests must wait before another thread helps.
const helpAt = 6

// maxSlow is how many slow requests of one user are in work at once, and of all users but root together. One
// CPU is left for quick requests, because the kernel may not take a CPU away from a BPF program.
var maxSlow = max(1, runtime.NumCPU()-1)

// slowLimit is how long a slow request counts against all users. A request that sleeps must not stop the
// others.
const slowLimit = time.Second

// mustWait reports whether a request should not be answered by the leader itself.
func (s *server) mustWait(r handoff.Request) bool {
	return s.waitsApart(r) || s.full()
}

// full reports whether no more requests may be in work.
func (s *server) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.loops) > maxLoops // one of them leads
}

// putOff queues the request that the leader has read, and gives the leader another slot. It returns false if
// no slot is left and the queue is full of requests that must not be dropped.
func (l *loop) putOff(r handoff.Request) bool {
	e := entry{slot: l.slot, unique: r.Unique(), uid: l.user(r)}
	r.SetWaits(true)
	l.mu.Lock()
	if l.queue.length+l.queue.slow >= maxQueued || l.slots.Empty() {
		dropped, ok := l.queue.drop(entry.mayFail)
		if !ok {
			l.mu.Unlock()
			r.SetWaits(false)
			return false
		}
		l.queue.push(e)
		l.slot = dropped.slot
		l.mu.Unlock()
		l.fail(dropped.unique, unix.EBUSY)
		dropped.slot.Done()
		return true
	}
	l.add(e)
	l.slot = l.slots.Get()
	l.mu.Unlock()
	return true
}

// add queues a request. It is called with mu held.
func (s *server) add(e entry) {
	if s.waitsApart(e.slot.Left()) {
		s.queue.pushSlow(e)
		s.startSlow()
		return
	}
	s.queue.push(e)
	if s.queue.length >= helpAt {
		s.startHelper(mostHelpers)
	}
}

// waitsApart reports whether a request waits among the slow ones. A server that leaves begins no slow
// requests, and the next server finds them only when this one has ended. So a request that is read at the
// last moment must not wait.
func (s *server) waitsApart(r handoff.Request) bool {
	return !s.leaving.Load() && s.prices.isSlow(s.prices.of(r, s.class))
}

// mayFail reports whether the caller of a request sees an error. A RELEASE that failed would leave its file
// open.
func (e entry) mayFail() bool {
	op := e.slot.Left().Opcode()
	return !e.lent && op != opRelease && op != opReleasedir
}

// user returns the user id that a request is charged to. The kernel sends RELEASE, and a READ for the page
// cache, as root's.
func (s *server) user(r handoff.Request) uint32 {
	switch r.Opcode() {
	case opRead, opRelease, opReleasedir:
		if s.owner == nil || r.UID() != 0 {
			break
		}
		if uid, ok := s.owner.Owner(handleOf(r)); ok {
			return uid
		}
	}
	return r.UID()
}

// next takes the next quick request out of the queue for l. A request that is now known to be slow goes to
// the slow ones.
func (l *loop) next() (entry, *flow, bool) {
	s := l.server
	s.mu.Lock()
	defer s.mu.Unlock()
	most := maxLoops
	if s.leader.Load() != l {
		most++ // it is one of the requests in work
	}
	for len(s.loops) <= most && !s.over.Load() {
		e, u, ok := s.queue.pop()
		if !ok {
			break
		}
		if s.waitsApart(e.slot.Left()) {
			s.queue.pushSlow(e)
			s.startSlow()
			continue
		}
		l.take(e.slot.Left().Unique()) // at once, so that an INTERRUPT finds it either waiting or in work
		return e, u, true
	}
	return entry{}, nil, false
}

// serve answers a request that waited, and charges its user.
func (l *loop) serve(e entry, u *flow, start int64) (end int64) {
	end = l.answerEntry(e, start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.done(u, end-start)
	l.giveBack(e)
	return end
}

func (l *loop) answerEntry(e entry, start int64) (end int64) {
	r := e.slot.Left()
	if e.found && !l.unanswered(r) {
		unique := r.Unique()
		e.slot.Done()
		l.release(unique)
		return start
	}
	r.SetWaits(false)
	return l.work(e.slot, start)
}

// giveBack is called with mu held.
func (s *server) giveBack(e entry) {
	if !e.lent {
		s.slots.Put(e.slot)
	}
}

// waiting returns how many quick requests are in the queue.
func (s *server) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.length
}

// mostHelpers is how many threads help the leader with a crowd. Readers take about as much CPU time as the
// server, so half of the CPUs is left to them. On two CPUs there is no helper.
var mostHelpers = runtime.NumCPU()/2 - 1

// startHelper starts a helper if fewer than most are there. It is called with mu held.
func (s *server) startHelper(most int) {
	if s.helpers < most && len(s.loops) <= maxLoops && !s.over.Load() {
		s.helpers++
		l := s.newLoop()
		go func() {
			l.help()
			s.mu.Lock()
			s.helpers-- // first: a loop that stops may start the next helper
			s.mu.Unlock()
			l.stop()
		}()
	}
}

// help answers queued requests until none is left.
func (l *loop) help() {
	for now := l.clock(); ; {
		e, u, ok := l.next()
		if !ok {
			return
		}
		now = l.serve(e, u, now)
	}
}

// startSlow starts loops for slow requests, as far as the limits allow. It is called with mu held. A server
// that leaves starts none; the next one finds the requests in their slots.
func (s *server) startSlow() {
	for len(s.loops) <= maxLoops && !s.over.Load() && !s.leaving.Load() {
		e, u, ok := s.queue.popSlow(maxSlow, s.slow < maxSlow)
		if !ok {
			return
		}
		s.slow++
		l := s.newLoop()
		l.take(e.slot.Left().Unique())
		go l.serveSlow(e, u)
	}
}

func (l *loop) serveSlow(e entry, u *flow) {
	defer l.stop()
	counted := true
	uncount := func() { // with mu held
		if counted {
			counted = false
			l.slow--
		}
	}
	timer := time.AfterFunc(slowLimit, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		uncount()
		l.startSlow()
	})
	defer timer.Stop()
	l.answerEntry(e, l.clock())
	l.mu.Lock()
	defer l.mu.Unlock()
	u.running--
	uncount()
	l.giveBack(e)
	l.queue.tidy()
}

// reply answers a request with an error, whichever loop has it. See fail.
func (s *server) reply(unique uint64, errno unix.Errno) error {
	var reply [replyHeader]byte
	putReply(reply[:], replyHeader, -int32(errno), unique)
	return s.conn.at.Write(reply[:])
}
