package server

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// spin takes time without giving the CPU away.
func spin(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// The requests of one user are not served after all requests of a second one. The test counts how many
// requests of the second are served until the server takes up the first one's. In order of arrival there
// would be at least as many as there are callers.
func TestFairInACrowd(t *testing.T) { helped(t, testFairInACrowd) }

func testFairInACrowd(t *testing.T) {
	for _, op := range []string{"GETATTR", "OPEN", "READ", "LOOKUP"} {
		t.Run(op, func(t *testing.T) {
			const callers, few = 64, 150
			var many, takenUp atomic.Int64 // takenUp is what many was when the other user's request was served
			count := func(h *fuse.InHeader) {
				if h.Uid == 1002 {
					takenUp.Store(many.Load())
					return
				}
				spin(100 * time.Microsecond)
				many.Add(1)
			}
			f := mounttest.Direct("f", "x")
			fs := &countingFS{FS: mounttest.NewFS(f), op: op, count: count}
			f.Open = func(_ <-chan struct{}, in *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
				if op == "OPEN" {
					count(&in.InHeader)
				}
				return fuse.OK
			}
			f.Read = func(_ <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
				count(&in.InHeader)
				return fuse.ReadResultData([]byte("x")), fuse.OK
			}
			m := serve(t, fs)
			held, err := mounttest.Open(m.at("f"))
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(held)
			call := func(i int) {
				var st unix.Stat_t
				switch op {
				case "GETATTR":
					unix.Fstat(held, &st) // a path takes two
				case "OPEN":
					if fd, err := mounttest.Open(m.at("f")); err == nil {
						unix.Close(fd)
					}
				case "READ":
					unix.Pread(held, make([]byte, 4096), 0)
				case "LOOKUP":
					unix.Stat(m.at(fmt.Sprint("absent", i)), &st)
				}
			}
			var over atomic.Bool
			var group sync.WaitGroup
			for i := range callers {
				group.Go(func() {
					mounttest.As(1001, func() {
						for !over.Load() {
							call(i)
						}
					})
				})
			}
			mounttest.Eventually(t, func() bool { return many.Load() > 4*callers }, func() string { return "there is no crowd" })
			// The lower quartile, because a thread often loses the CPU before it sends, after it has read
			// the count.
			var served []int64 // of the crowd, for each request of the second user
			mounttest.As(1002, func() {
				for range few {
					takenUp.Store(-1)
					before := many.Load()
					call(callers)
					if takenUp.Load() < 0 {
						t.Error("the server did not get the request")
					}
					served = append(served, takenUp.Load()-before)
				}
			})
			over.Store(true)
			group.Wait()
			slices.Sort(served)
			if got := served[few/4]; got > callers/4 {
				t.Errorf("%d requests of the crowd were served before one of another user, want at most %d", got, callers/4)
			}
		})
	}
}

// kernel is the other end of a server's descriptor, for tests of the order of replies. A socket keeps
// messages apart, too.
func kernel(t *testing.T, fs fuse.RawFileSystem) (s *server, fd int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mounttest.Leaks(t)
	c := newConn(fds[0])
	if c.requests, err = handoff.NewMemory(); err != nil {
		t.Fatal(err)
	}
	s = newServer(c, fs, nil)
	s.begin(0, false)
	t.Cleanup(func() {
		unix.Close(fds[1])
		mounttest.Eventually(t, func() bool { return s.drain(0) == 0 }, func() string { return "the loops do not end" })
		c.at.Close()
		c.requests.Close()
	})
	return s, fds[1]
}

// send sends requests of an opcode with consecutive numbers.
func send(t *testing.T, fd int, opcode uint32, uid uint32, first, n uint64) {
	t.Helper()
	for i := range n {
		body := []uint64{0, 0, 0, 0, 0}
		if opcode == opLookup {
			body = []uint64{'x'}
		}
		if _, err := unix.Write(fd, newRequest(opcode, first+2*i, rootNode+1, uid, body...)); err != nil {
			t.Fatal(err)
		}
	}
}

// replies receives replies and returns the numbers of their requests.
func replies(t *testing.T, fd, n int) (uniques []uint64) {
	t.Helper()
	buf := make([]byte, handoff.SlotSize)
	for range n {
		if _, err := unix.Read(fd, buf); err != nil {
			t.Fatal(err)
		}
		uniques = append(uniques, replyUnique(buf))
	}
	return uniques
}

// lateInACrowd counts users whose one request waits for more than 30 of a crowd's.
func lateInACrowd(t *testing.T, opcode uint32) (late int) {
	f := mounttest.Direct("x", "x")
	f.Read = func(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status) {
		return fuse.ReadResultData([]byte("x")), fuse.OK
	}
	s, fd := kernel(t, mounttest.NewFS(f))
	send(t, fd, opcode, 1001, 100, 100)
	for uid := range uint32(10) {
		send(t, fd, opcode, uid, 1000+2*uint64(uid), 1)
	}
	s.helpers = runtime.NumCPU() // no more, because they would begin before all is read
	go s.run()
	for i, unique := range replies(t, fd, 110) {
		if unique >= 1000 && i > 30 {
			late++
		}
	}
	return late
}

// Requests that wait when the server begins are served by user, for each operation.
func TestOrderInACrowd(t *testing.T) {
	for _, opcode := range []uint32{opLookup, opGetattr, opOpen, opRead, opOpendir, opReaddir, opRelease} {
		t.Run(fmt.Sprint("opcode ", opcode), func(t *testing.T) {
			// A request that lost its CPU for a while counts as slow, and the next requests wait
			// apart. So the order is right in one of some attempts. Without turns it is wrong in
			// each.
			late := 10
			for attempt := 0; attempt < 5 && late > 3; attempt++ {
				t.Run(fmt.Sprint("attempt ", attempt), func(t *testing.T) { late = lateInACrowd(t, opcode) })
			}
			if late > 3 {
				t.Errorf("%d of 10 users wait for more than 30 requests, want 3 at most", late)
			}
		})
	}
}

// A server that hands over may clear O_NONBLOCK after the next leader has set it. That leader then blocks
// with requests in the queue, and another loop answers them.
func TestReadAheadBlocks(t *testing.T) {
	const requests = 100
	s, fd := kernel(t, mounttest.NewFS(mounttest.Direct("x", "x")))
	limit := unix.NsecToTimeval(mounttest.Hang.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	send(t, fd, opGetattr, 1001, 100, requests)
	s.helpers = runtime.NumCPU() // no more, because they would answer in the leader's place
	go s.run()
	for unread := 1; unread > 0; {
		s.setNonblock(false)
		var err error
		if unread, err = unix.IoctlGetInt(s.fd, unix.SIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if got := replies(t, fd, requests); len(got) != requests {
		t.Errorf("%d replies", len(got))
	}
}

// Requests that come when no slot is left, because an earlier server's requests are in them, are dropped or
// answered, and the server goes on.
func TestNoSlotLeft(t *testing.T) {
	const requests = 50
	s, fd := kernel(t, mounttest.NewFS(mounttest.Direct("x", "x")))
	limit := unix.NsecToTimeval(mounttest.Hang.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	for range handoff.MaxSlots - 4 {
		s.slots.Get()
	}
	send(t, fd, opGetattr, 1001, 100, requests)
	send(t, fd, opRelease, 1001, 1000, requests) // may not be dropped
	s.helpers = runtime.NumCPU()                 // no more, because the slots would not run out
	go s.run()
	if got := replies(t, fd, 2*requests); len(got) != 2*requests {
		t.Errorf("%d replies", len(got))
	}
	if s.over.Load() {
		t.Error("the server has ended")
	}
}

// A request is answered that was slow when the leader read it, and quick when it was queued, because another
// loop has learned that meanwhile.
func TestQuickAfterAll(t *testing.T) {
	s, fd := kernel(t, mounttest.NewFS(mounttest.Direct("x", "x")))
	limit := unix.NsecToTimeval(mounttest.Hang.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		t.Fatal(err)
	}
	const slow, quick = 1, 2
	asked := 0
	s.class = func(uint64) uint64 {
		if asked++; asked == 1 {
			return slow
		}
		return quick
	}
	s.prices.raise(s.prices.of(newRequest(opOpen, 2, 0, 0, 0, 0, 0), func(uint64) uint64 { return slow }), 2*slowAt)
	go s.run()
	mounttest.Eventually(t, func() bool {
		l := s.leader.Load()
		return l != nil && l.turn.Load()%2 == 0
	}, func() string { return "the leader does not read" })
	send(t, fd, opOpen, 0, 100, 1)
	if got := replies(t, fd, 1); len(got) != 1 {
		t.Error("no reply")
	}
}

// countingFS reports GETATTRs and LOOKUPs.
type countingFS struct {
	*mounttest.FS
	op    string
	count func(*fuse.InHeader)
}

func (f *countingFS) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if f.op == "GETATTR" {
		f.count(&in.InHeader)
	}
	return f.FS.GetAttr(c, in, out)
}

func (f *countingFS) Lookup(c <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if f.op == "LOOKUP" && strings.HasPrefix(name, "absent") {
		f.count(h)
	}
	return f.FS.Lookup(c, h, name, out)
}

// ownedFS knows the owner of handle 5.
type ownedFS struct{ *mounttest.FS }

func (ownedFS) Owner(handle uint64) (uint32, bool) { return 1001, handle == 5 }

// The kernel sends RELEASE as root's, but root must not pay for the files of other users.
func TestReleaseIsChargedToTheOwner(t *testing.T) {
	s := newServer(newConn(-1), ownedFS{mounttest.NewFS()}, nil)
	for _, test := range []struct {
		opcode uint32
		handle uint64
		want   uint32
	}{{opRelease, 5, 1001}, {opReleasedir, 5, 1001}, {opRelease, 6, 0}, {opRead, 5, 1001}, {opOpen, 5, 0}} {
		if got := s.user(newRequest(test.opcode, 2, 7, 0, test.handle, 0, 0)); got != test.want {
			t.Errorf("opcode %d of handle %d: charged to %d, want %d", test.opcode, test.handle, got, test.want)
		}
	}
}

// Another loop reads on while the leader is in a request. The old leader ends when it is done.
func TestTakeOver(t *testing.T) {
	g := newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g), mounttest.Direct("quick", "quick")))
	cat := mounttest.Reader(t, m.at("slow"))
	g.wait(t, 1)
	if got := mounttest.Slurp(t, m.at("quick")); got != "quick" {
		t.Errorf("%q", got)
	}
	// The loop that is in the slow request has its number until the gate opens.
	mounttest.Eventually(t, func() bool { return m.server.leader.Load().unique.Load() == 0 },
		func() string { return "the loop that is in a request leads still" })
	g.open()
	if err := mounttest.Exits(t, cat); err != nil {
		t.Error(err)
	}
	m.sleeps(t)
}

// An idle server does nothing at all, and begins to watch again with the next request.
func TestIdle(t *testing.T) {
	g := newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g), mounttest.Direct("quick", "quick")))
	for range 3 {
		mounttest.Slurp(t, m.at("quick"))
		m.sleeps(t)
	}
	cat := mounttest.Reader(t, m.at("slow"))
	g.wait(t, 1)
	mounttest.Slurp(t, m.at("quick"))
	g.open()
	mounttest.Exits(t, cat)
}

// knownSlow serves a file with an OPEN that is known to be slow. From then on OPENs go through the gate that
// it returns.
func knownSlow(t *testing.T) (*mounted, *gate) {
	g := newGate()
	var known atomic.Bool
	f := mounttest.Direct("slow", "x")
	f.Open = func(cancel <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
		if known.Load() {
			return g.pass(cancel)
		}
		time.Sleep(5 * time.Millisecond)
		return fuse.OK
	}
	m := serve(t, mounttest.NewFS(f, mounttest.Direct("quick", "quick")))
	mounttest.Slurp(t, m.at("slow"))
	known.Store(true)
	return m, g
}

// waiting returns how many slow requests wait.
func (m *mounted) waiting() int {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return m.server.queue.slow
}

// A request that waits for its turn is dropped when its caller is killed. The filesystem never sees it.
func TestKilledWhileQueued(t *testing.T) {
	m, g := knownSlow(t)
	var cats []*exec.Cmd
	for range maxSlow {
		cats = append(cats, mounttest.Reader(t, m.at("slow")))
	}
	g.wait(t, maxSlow)
	victim := mounttest.Reader(t, m.at("slow"))
	mounttest.Eventually(t, func() bool { return m.waiting() == 1 }, func() string { return "the request is not queued" })
	victim.Process.Kill()
	mounttest.Exits(t, victim)
	if n := m.waiting(); n != 0 {
		t.Errorf("%d requests wait still", n)
	}
	g.open()
	for _, cat := range cats {
		if err := mounttest.Exits(t, cat); err != nil {
			t.Error(err)
		}
	}
	if n := len(g.entered); n != 0 {
		t.Errorf("the filesystem is asked for %d requests more", n)
	}
	m.sleeps(t)
}

// A few slow requests of one user are in work at once. Another user's come beside them after a moment, and
// quick ones always.
func TestSlowBesideSlow(t *testing.T) {
	m, g := knownSlow(t)
	var group sync.WaitGroup
	read := func(uid int) {
		group.Go(func() {
			mounttest.As(uid, func() {
				if _, err := mounttest.ReadAll(m.at("slow")); err != nil {
					t.Error(err)
				}
			})
		})
	}
	for range maxSlow + 3 {
		read(1001)
	}
	g.wait(t, maxSlow)
	mounttest.Eventually(t, func() bool { return m.waiting() == 3 }, func() string { return fmt.Sprintf("%d wait, want 3", m.waiting()) })
	mounttest.Slurp(t, m.at("quick"))
	read(0)
	g.wait(t, 1)
	read(1002)
	g.wait(t, 1) // after slowLimit
	if n := m.waiting(); n != 3 {
		t.Errorf("%d of the first user's wait, want 3", n)
	}
	g.open()
	group.Wait()
	m.sleeps(t)
}

// When a connection ends, waiting requests are dropped, and all loops end (see serve).
func TestAbortDropsTheQueue(t *testing.T) {
	m, g := knownSlow(t)
	var cats []*exec.Cmd
	for range maxSlow + 3 {
		cats = append(cats, mounttest.Reader(t, m.at("slow")))
	}
	g.wait(t, maxSlow)
	mounttest.Eventually(t, func() bool { return m.waiting() == 3 }, func() string { return fmt.Sprintf("%d wait, want 3", m.waiting()) })
	if err := m.Conn.at.Abort(); err != nil {
		t.Fatal(err)
	}
	for _, cat := range cats {
		mounttest.Exits(t, cat)
	}
	if err := m.end(t); err == nil {
		t.Error("Serve returned nil after an abort")
	}
}

// Many closes come before the next open, because the kernel does not hold them back. In a crowd closes would
// fall behind opens otherwise, until too many files are open.
func TestClosesComeFirst(t *testing.T) {
	const files, want = 1000, 900
	before := int64(0) // closes before the last open
	for attempt := 0; attempt < 5 && before < want; attempt++ {
		t.Run(fmt.Sprint("attempt ", attempt), func(t *testing.T) {
			f := mounttest.Direct("f", "x")
			fs := mounttest.NewFS(f)
			f.Open = func(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
				atomic.StoreInt64(&before, fs.Releases.Load())
				return fuse.OK
			}
			m := serve(t, fs)
			fds := make([]int, files+1)
			for i := range fds {
				if i == files {
					for _, fd := range fds[:files] {
						unix.Close(fd)
					}
				}
				var err error
				if fds[i], err = mounttest.Open(m.at("f")); err != nil {
					t.Fatal(err)
				}
			}
			unix.Close(fds[files])
		})
	}
	if before < want {
		t.Errorf("%d of %d closes came before an open, want %d", before, files, want)
	}
}
