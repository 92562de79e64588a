package server

import (
	"sync"
	"sync/atomic"
	"time"

	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxLoops bounds the loops, and so the requests in work. Each has a goroutine and, while a view runs, a
// thread. It is far below Go's limit of 10,000 threads. Further requests wait in their slots.
const maxLoops = 512

// server answers requests: see "The loop" in the package's documentation.
type server struct {
	conn     *Conn
	fd       int // of the connection
	requests *handoff.Memory
	fs       fuse.RawFileSystem
	proto    *fuse.ProtocolServer
	opts     *fuse.MountOptions
	heir     Heir                     // the filesystem, if it is one
	owner    Owner                    // the filesystem, if it is one
	lost     Lost                     // the filesystem, if it is one
	into     IntoReader               // the filesystem, if it is one
	class    func(node uint64) uint64 // groups nodes with files of about the same cost
	began    time.Time

	leader   atomic.Pointer[loop] // the only loop that reads
	watching atomic.Bool          // the leader is being watched
	leaving  atomic.Bool          // another server reads from now on
	over     atomic.Bool          // nothing is served any more
	once     sync.Once
	ended    chan error // the reason why the loops stopped reading
	region   int
	beside   atomic.Bool    // another server may still answer requests in its slots
	ends     sync.Mutex     // held while requests are answered EINTR, or taken over from that server
	borrowed []handoff.Slot // the slots of our region among them
	prices   prices

	mu      sync.Mutex // never held during a system call, which may take the CPU away for long
	slots   handoff.Pool
	queue   queue
	loops   map[*loop]struct{}
	idle    []*loop // ended; kept for their buffers
	helpers int
	slow    int // slow requests in work, but for those that take very long
}

// loop answers requests one after the other. It leads, watches the leader, helps, or answers one slow
// request.
type loop struct {
	*server
	slot  handoff.Slot  // the slot for the next read while it leads
	turn  atomic.Uint64 // changes with each request; odd unless the loop is in read(2)
	price atomic.Uint64 // of the request in work

	yielded int64 // when it yielded last

	at     handoff.Request // the READ in work, in its slot
	args   fuse.ReadIn     // its arguments
	decide func() bool     // see IntoReader

	unique atomic.Uint64 // of the request in work, 0 when none; see interrupt
	cancel chan struct{} // closed when that request is interrupted
	reply  []byte
	lent   lent
}

// Owner is a filesystem that knows the user of an open file or directory. RELEASE and RELEASEDIR do not name
// the user: the kernel sends them as root's.
type Owner interface {
	Owner(handle uint64) (uid uint32, ok bool)
}

// IntoReader is a filesystem that returns the bytes of a READ in the loop's buffer, which is as long as the READ,
// or lends its own memory. Then lent is not nil, and done when the reply is written. The result of Read is an
// allocation. ReadInto calls decide before it changes the open file. If that returns false the reader has got
// EINTR, and no effect of the READ may be seen.
type IntoReader interface {
	ReadInto(cancel <-chan struct{}, decide func() bool, in *fuse.ReadIn, buf []byte) (data []byte,
		lent interface{ Done() }, status fuse.Status)
}

// Classes is a filesystem that groups its files by the cost of OPEN.
type Classes interface {
	Class(node uint64) uint64
}

func newServer(c *Conn, fs fuse.RawFileSystem, given *fuse.MountOptions) *server {
	opts := c.options(given)
	s := &server{
		conn:     c,
		fd:       c.at.FD(),
		requests: c.requests,
		fs:       fs,
		opts:     opts,
		proto:    fuse.NewProtocolServer(fs, opts),
		class:    func(node uint64) uint64 { return node },
		began:    time.Now(),
		ended:    make(chan error, 1),
		loops:    map[*loop]struct{}{},
	}
	s.heir, _ = fs.(Heir)
	s.owner, _ = fs.(Owner)
	s.lost, _ = fs.(Lost)
	s.into, _ = fs.(IntoReader)
	if c, ok := fs.(Classes); ok {
		s.class = c.Class
	}
	return s
}

// clock returns the time since the server was made, in ns.
func (s *server) clock() int64 { return int64(time.Since(s.began)) }

// run serves until the connection has ended or the server has left it. Requests may then still be in work.
func (s *server) run() error {
	s.mu.Lock()
	l := s.newLoop()
	l.slot = s.slots.Get()
	s.mu.Unlock()
	s.leader.Store(l)
	go l.lead()
	err := <-s.ended
	if err == unix.ENODEV || err == unix.ECONNABORTED {
		return nil
	}
	return err
}

// end stops everything but the requests in work.
func (s *server) end(err error) {
	s.over.Store(true)
	s.once.Do(func() { s.ended <- err })
}

// newLoop is called with mu held.
func (s *server) newLoop() *loop {
	var l *loop
	if last := len(s.idle) - 1; last >= 0 {
		l = s.idle[last]
		s.idle = s.idle[:last]
	} else {
		l = s.makeLoop()
	}
	s.loops[l] = struct{}{}
	return l
}

func (s *server) makeLoop() *loop {
	l := &loop{server: s, cancel: make(chan struct{})}
	l.decide = func() bool { return l.at.Decide(l.args.Unique) }
	return l
}

// maxIdle is how many ended loops are kept for their buffers.
const maxIdle = 4

// stop ends a loop. Requests for which there was no loop are served then. A watcher may still look at the loop
// or take it for the leader again, and neither does harm.
func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.loops, l)
	if l.slot != nil {
		l.slots.Put(l.slot)
		l.slot = nil
	}
	if len(l.idle) < maxIdle {
		l.idle = append(l.idle, l)
	}
	l.startSlow()
	if l.queue.length > 0 {
		l.startHelper(1)
	}
}

// work answers a request in a slot, learns how long it took, and returns the time.
func (l *loop) work(s handoff.Slot, start int64) (end int64) {
	at := l.prices.of(s.Left(), l.class)
	l.price.Store(uint64(at))
	l.handle(s)
	end = l.clock()
	l.prices.learn(at, end-start)
	return end
}

// drain cancels the requests in work after the end of the connection, and waits for them. It returns how many
// are left at the limit. It works in rounds, because a loop may be about to take up a request that it has
// just read.
func (s *server) drain(limit time.Duration) (left int) {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		for _, unique := range s.inWork() {
			s.interrupt(unique)
		}
		s.mu.Lock()
		left = len(s.loops)
		s.mu.Unlock()
		if left == 0 || time.Since(start) > limit {
			return left
		}
	}
}

func (s *server) inWork() (uniques []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.loops {
		if u := l.unique.Load(); u != 0 {
			uniques = append(uniques, u&^interruptedBit)
		}
	}
	return uniques
}
