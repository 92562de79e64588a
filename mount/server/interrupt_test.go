package server

import (
	"os/exec"
	"slices"
	"sync"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

func TestKilledReaderGoesAtOnce(t *testing.T) {
	g := newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g)))
	cat := mounttest.Reader(t, m.at("slow"))
	g.wait(t, 1)
	cat.Process.Signal(unix.SIGKILL)
	mounttest.Exits(t, cat)
	if n := g.cancelled.Load(); n != 1 {
		t.Errorf("%d requests cancelled, want 1", n)
	}
}

// A reader need not wait for a filesystem that does not heed its cancel channel. A handle that an OPEN made
// for such a reader is released.
func TestKilledReaderOfStubborn(t *testing.T) {
	for _, op := range []string{"OPEN", "READ"} {
		t.Run(op, func(t *testing.T) {
			entered, let := make(chan struct{}, 1), make(chan struct{})
			wait := func() {
				entered <- struct{}{}
				<-let
			}
			f := mounttest.Direct("f", "x")
			if op == "OPEN" {
				f.Open = func(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { wait(); return fuse.OK }
			} else {
				f.Read = func(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status) {
					wait()
					return fuse.ReadResultData([]byte("x")), fuse.OK
				}
			}
			fs := mounttest.NewFS(f)
			m := serve(t, fs)
			defer sync.OnceFunc(func() { close(let) })()
			cat := mounttest.Reader(t, m.at("f"))
			<-entered
			cat.Process.Signal(unix.SIGKILL)
			mounttest.Exits(t, cat)
			if n := len(m.server.inWork()); n == 0 {
				t.Error("the request is not in work any more: nothing was tested")
			}
			t.Cleanup(func() {
				mounttest.Eventually(t, func() bool { return fs.Releases.Load() == 1 }, func() string {
					return "the handle is not released"
				})
			})
		})
	}
}

func TestInterruptAmongBlocked(t *testing.T) {
	const blocked = 20
	g, victim := newGate(), newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g), slow("victim", victim), mounttest.Direct("quick", "quick")))
	var others []*exec.Cmd
	for range blocked {
		others = append(others, mounttest.Reader(t, m.at("slow")))
	}
	g.wait(t, blocked)
	cat := mounttest.Reader(t, m.at("victim"))
	victim.wait(t, 1)
	cat.Process.Signal(unix.SIGTERM)
	mounttest.Exits(t, cat)
	if n := victim.cancelled.Load(); n != 1 {
		t.Errorf("%d requests cancelled, want 1", n)
	}
	if got := mounttest.Slurp(t, m.at("quick")); got != "quick" {
		t.Errorf("beside %d blocked readers: %q", blocked, got)
	}
	g.open()
	for _, cat := range others {
		if err := mounttest.Exits(t, cat); err != nil {
			t.Errorf("a reader that was let go: %v", err)
		}
	}
	if n := g.cancelled.Load(); n != 0 {
		t.Errorf("%d bystanders cancelled", n)
	}
}

// Requests in work when the connection is aborted are cancelled, and Serve returns.
func TestAbortCancels(t *testing.T) {
	g := newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g)))
	var cats []*exec.Cmd
	for range 5 {
		cats = append(cats, mounttest.Reader(t, m.at("slow")))
	}
	g.wait(t, len(cats))
	if err := m.Conn.at.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := m.end(t); err == nil {
		t.Error("Serve returned nil after an abort")
	}
	if n := g.cancelled.Load(); n != int64(len(cats)) {
		t.Errorf("%d of %d requests cancelled", n, len(cats))
	}
}

// An INTERRUPT finds a request either in the queue or in work, also at the moment in which it leaves the queue.
func TestInterruptBetweenQueueAndWork(t *testing.T) {
	s := newServer(newConn(-1), mounttest.NewFS(), nil)
	s.mu.Lock()
	l := s.newLoop()
	at := make(handoff.Slot, handoff.SlotSize)
	copy(at, newRequest(opOpen, 2, rootNode, 1000, 0))
	s.queue.push(entry{slot: at, unique: 2, uid: 1000})
	s.mu.Unlock()
	if _, _, ok := l.next(); !ok || s.withdraw(2) || !slices.Contains(s.inWork(), 2) {
		t.Errorf("a request that was taken: %v, in work %v", ok, s.inWork())
	}
	s.interrupt(2)
	l.take(2) // when the loop comes to it
	select {
	case <-l.cancel:
	default:
		t.Error("the interrupt of a request that was taken is forgotten")
	}
	l.release(2)
	if s.inWork() != nil {
		t.Errorf("in work at the end: %v", s.inWork())
	}
}

// An INTERRUPT is asked for again if its request is neither in the queue nor in work. A loop may have read the
// request and had no CPU since.
func TestInterruptBeforeItsRequest(t *testing.T) {
	s, fd := kernel(t, mounttest.NewFS())
	limit := unix.NsecToTimeval(mounttest.Hang.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, newRequest(opInterrupt, 101, 0, 0, 100)); err != nil {
		t.Fatal(err)
	}
	go s.run()
	reply := make([]byte, handoff.SlotSize)
	if _, err := unix.Read(fd, reply); err != nil {
		t.Fatalf("the INTERRUPT is forgotten: %v", err)
	}
	if replyUnique(reply) != 101 || replyError(reply) != -int32(unix.EAGAIN) {
		t.Errorf("reply %d, error %d; want 101 and EAGAIN", replyUnique(reply), replyError(reply))
	}
}

// deciding is a filesystem with READs that wait, and then tell what they may do.
type deciding struct {
	fuse.RawFileSystem
	entered, let chan bool
}

func (f deciding) ReadInto(_ <-chan struct{}, decide func() bool, _ *fuse.ReadIn, buf []byte) ([]byte,
	interface{ Done() }, fuse.Status) {
	for f.entered <- true; <-f.let; f.entered <- decide() {
	}
	return buf[:copy(buf, "run")], nil, fuse.OK
}

// TestOneDecides: a READ is either answered EINTR or may change its file, whichever of two servers answers so.
func TestOneDecides(t *testing.T) {
	fs := deciding{fuse.NewDefaultRawFileSystem(), make(chan bool), make(chan bool)}
	s, fd := kernel(t, fs)
	go s.run()
	defer func() { s.end(nil) }()
	c := newConn(s.fd)
	c.requests = s.requests
	next := newServer(c, fs, nil)
	next.beginBeside(1)
	reply := make([]byte, handoff.SlotSize)
	wantReply := func(unique uint64, errno unix.Errno) {
		t.Helper()
		if _, err := unix.Read(fd, reply); err != nil {
			t.Fatal(err)
		}
		if replyUnique(reply) != unique || replyError(reply) != -int32(errno) {
			t.Errorf("reply to %d: error %d; want %d, %v", replyUnique(reply), replyError(reply), unique, errno)
		}
	}
	for i, giver := range []*server{s, next} {
		for j, late := range []bool{false, true} {
			unique := uint64(100 + 4*i + 2*j)
			send(t, fd, opRead, 0, unique, 1)
			<-fs.entered
			if !late {
				giver.giveUp(unique)
				wantReply(unique, unix.EINTR)
			}
			fs.let <- true
			if may := <-fs.entered; may != late {
				t.Errorf("after EINTR %t the READ may change its file: %t", !late, may)
			}
			giver.giveUp(unique)
			fs.let <- false
			wantReply(unique, 0)
		}
	}
}

// TestDecidedAgain: a READ that was decided by a server that died comes again, and is decided again.
func TestDecidedAgain(t *testing.T) {
	s, _ := kernel(t, mounttest.NewFS())
	slot := s.slots.Get()
	copy(slot, newRequest(opRead, 100, rootNode+1, 0, 0, 0, 0, 0, 0))
	for range 2 {
		r := slot.Left()
		if !r.Decide(100) || r.Decide(100) || s.requests.Decide(100) {
			t.Error("it is not decided once")
		}
		if left := s.found([]handoff.Slot{slot}, true); len(left) != 1 || left[0].unique != 100 {
			t.Errorf("the next server finds %v", left)
		}
	}
	slot.Done()
}
