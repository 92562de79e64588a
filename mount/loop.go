package mount

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxIdle is how many loops stay to wait for requests.
const maxIdle = 2

// keepReply is the largest reply buffer that a loop keeps between requests, in bytes: what cat(1) asks for, and a bit.
const keepReply = 128<<10 + 8192

// largeReply is room for the reply to any READ. Such buffers are shared by all loops.
const largeReply = maxRead + 8192

var largeReplies = sync.Pool{New: func() any { return new([largeReply]byte) }}

// server answers requests: one loop for each request in work, and a few that wait for the next.
type server struct {
	conn  *Conn
	state *state
	proto *fuse.ProtocolServer
	heir  Heir // the filesystem, if it is one

	idle     atomic.Int32 // loops that wait for a request
	leaving  atomic.Bool  // the loops end, each after the request that it is at
	once     sync.Once
	ended    chan error // why the loops do not read on
	region   int
	others   atomic.Pointer[[]slot] // that another server may still answer
	borrowed []slot                 // those of our region among them

	mu    sync.Mutex
	free  []slot
	loops map[*loop]struct{}
}

// loop reads a request into its slot, answers it, and reads the next.
type loop struct {
	*server
	slot   slot
	lent   bool // the slot is in another server's region
	reply  []byte
	unique atomic.Uint64 // of the request in work, 0 when none
}

func newServer(c *Conn, fs fuse.RawFileSystem, opts *fuse.MountOptions) *server {
	heir, _ := fs.(Heir)
	return &server{
		conn:  c,
		state: c.state,
		heir:  heir,
		proto: fuse.NewProtocolServer(fs, c.options(opts)),
		ended: make(chan error, 1),
		loops: map[*loop]struct{}{},
	}
}

// run serves until the connection has ended or the server has left it. Requests may then still be in work.
func (s *server) run() error {
	for range maxIdle {
		s.start()
	}
	err := <-s.ended
	if err == unix.ENODEV || err == unix.ECONNABORTED {
		return nil
	}
	return err
}

// start adds a loop if there is a slot for it.
func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 || s.leaving.Load() {
		return
	}
	s.idle.Add(1)
	last := len(s.free) - 1
	l := &loop{server: s, slot: s.free[last]}
	s.free = s.free[:last]
	s.loops[l] = struct{}{}
	go l.run()
}

func (l *loop) run() {
	defer l.stop()
	l.slot.done()
	for {
		n, err := l.read(l.slot)
		if err != nil {
			l.end(err)
			return
		}
		// Somebody must be reading at any time: a request may take long, and its INTERRUPT must get through.
		if l.idle.Add(-1) == 0 {
			l.start()
		}
		l.handle(request(l.slot[:n]))
		if !l.wait() {
			return
		}
	}
}

func (s *server) end(err error) { s.once.Do(func() { s.ended <- err }) }

// wait counts the loop among those that wait, unless these are enough. Never too high, not even for a moment: a loop
// that then took a request would not start its successor, and at last none would be left.
func (s *server) wait() bool {
	for {
		n := s.idle.Load()
		if n >= maxIdle || s.leaving.Load() {
			return false
		}
		if s.idle.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (l *loop) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.loops, l)
	if !l.lent {
		l.free = append(l.free, l.slot)
	}
}

func (l *loop) handle(r request) {
	opcode, node := r.opcode(), r.node()
	if opcode == opInterrupt {
		l.interrupted(r)
		l.slot.done()
		return
	}
	l.unique.Store(r.unique())
	l.makeRoom(r.replySize())
	n, status := l.proto.HandleRequest([][]byte{r}, [][]byte{l.reply})
	if status != fuse.OK { // go-fuse could not parse the request and made no reply
		n = l.failure(unix.EIO)
	}
	if n > 0 {
		l.answer(opcode, node, n)
	}
	l.slot.done()
	l.unique.Store(0)
	if len(l.reply) == largeReply {
		largeReplies.Put((*[largeReply]byte)(l.reply))
		l.reply = nil
	}
}

// makeRoom sees to it that a reply of size bytes fits.
func (l *loop) makeRoom(size int) {
	switch {
	case size <= len(l.reply):
	case size <= keepReply:
		l.reply = make([]byte, size)
	case size <= largeReply:
		l.reply = largeReplies.Get().(*[largeReply]byte)[:]
	default: // of no request that we know
		l.reply = make([]byte, size)
	}
}

// answer writes the reply.
func (l *loop) answer(opcode uint32, node uint64, n int) {
	_, err := unix.Write(l.conn.fd, l.reply[:n])
	if err == nil {
		return
	}
	if err != unix.ENOENT {
		// The kernel takes no such reply, say one with an errno above 511. Its request must not wait for ever.
		unix.Write(l.conn.fd, l.reply[:l.failure(unix.EIO)])
	}
	l.refused(opcode, node, l.reply[:n])
}

func (l *loop) failure(errno unix.Errno) int {
	putReply(l.reply, replyHeader, -int32(errno), l.unique.Load())
	return replyHeader
}

// read takes the next request.
func (s *server) read(into []byte) (int, error) {
	for {
		n, err := unix.Read(s.conn.fd, into)
		switch err {
		case unix.EINTR, unix.EAGAIN, unix.ENOENT: // ENOENT: aborted while it was handed over
			continue
		}
		return n, err
	}
}

// drain cancels what is in work after the end of the connection, and waits for it. It returns what is left at the
// limit. A request is cancelled by an INTERRUPT of our own; a loop may be about to take up the request it has just
// read, hence the rounds.
func (s *server) drain(limit time.Duration) (left int) {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		for _, unique := range s.inWork() {
			s.ask(opInterrupt, 0, unique)
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
			uniques = append(uniques, u)
		}
	}
	return uniques
}
