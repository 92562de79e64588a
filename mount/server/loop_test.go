package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// gate blocks a handler until it is opened or the request is cancelled.
type gate struct {
	entered, opened chan struct{}
	cancelled       atomic.Int64
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1000), opened: make(chan struct{})} }

func (g *gate) pass(cancel <-chan struct{}) fuse.Status {
	g.entered <- struct{}{}
	select {
	case <-g.opened:
		return fuse.OK
	case <-cancel:
		g.cancelled.Add(1)
		return fuse.EINTR
	}
}

func (g *gate) wait(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		select {
		case <-g.entered:
		case <-time.After(mounttest.Hang):
			tb.Fatal("a request did not reach the filesystem")
		}
	}
}

func (g *gate) open() { close(g.opened) }

// slow is a file with READs that go through g.
func slow(name string, g *gate) *mounttest.File {
	f := mounttest.Direct(name, "slow")
	f.Read = func(cancel <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
		if s := g.pass(cancel); s != fuse.OK {
			return nil, s
		}
		if in.Offset > 0 {
			return fuse.ReadResultData(nil), fuse.OK
		}
		return fuse.ReadResultData([]byte("slow")), fuse.OK
	}
	return f
}

// Requests beyond the number of slots wait in the kernel, and all are answered.
func TestMoreThanMaxLoops(t *testing.T) {
	g := newGate()
	m := serve(t, mounttest.NewFS(slow("slow", g)))
	var group sync.WaitGroup
	for range maxLoops + 20 {
		group.Go(func() {
			if got, err := mounttest.ReadAll(m.at("slow")); got != "slow" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	// Opens and attributes need slots, too, so a few fewer than all may be in READ.
	g.wait(t, maxLoops-1)
	g.open()
	group.Wait()
}

// helped runs a test as on machines with few CPUs and with more.
func helped(t *testing.T, test func(t *testing.T)) {
	before := mostHelpers
	t.Cleanup(func() { mostHelpers = before })
	for _, mostHelpers = range []int{0, 2} {
		t.Run(fmt.Sprint("helpers ", mostHelpers), test)
	}
}

func TestManyReaders(t *testing.T) { helped(t, testManyReaders) }

func testManyReaders(t *testing.T) {
	a, b := strings.Repeat("a", 5000), strings.Repeat("b", 300_000)
	m := serve(t, mounttest.NewFS(mounttest.Direct("a", a), mounttest.Direct("b", b)))
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			name, want := "a", 5000
			if i%2 == 1 {
				name, want = "b", 300_000
			}
			for range 200 {
				got, err := mounttest.ReadAll(m.at(name))
				if err != nil || len(got) != want || strings.Trim(got, name) != "" {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	group.Wait()
	m.sleeps(t)
}

// sleeps waits until the server does nothing: one loop is in read(2), and there is no watcher.
func (m *mounted) sleeps(tb testing.TB) {
	tb.Helper()
	s := m.server
	mounttest.Eventually(tb, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.watching.Load() && len(s.loops) == 1 && s.leader.Load().turn.Load()%2 == 0 &&
			s.queue.length+s.queue.slow == 0
	}, func() string { return "the server does not come to rest" })
}

func TestPanicBecomesEIO(t *testing.T) {
	bad := mounttest.Direct("bad", "")
	bad.Read = func(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status) { panic("on purpose") }
	m := serve(t, mounttest.NewFS(bad, mounttest.Direct("good", "good")))
	for range 3 {
		if _, err := mounttest.ReadAll(m.at("bad")); !errors.Is(err, unix.EIO) {
			t.Errorf("read: %v, want EIO", err)
		}
		if got := mounttest.Slurp(t, m.at("good")); got != "good" {
			t.Errorf("after a panic: %q", got)
		}
	}
	log := m.log.String()
	if !strings.Contains(log, "on purpose") || strings.Count(log, "TestPanicBecomesEIO.func") != 2 {
		t.Errorf("the place of the panic and its stack are not in the log, or more than once: %s", log)
	}
}

// The kernel refuses errnos above 511; the reader must get one all the same.
func TestImpossibleStatus(t *testing.T) {
	bad := mounttest.Direct("bad", "")
	bad.Read = func(<-chan struct{}, *fuse.ReadIn, []byte) (fuse.ReadResult, fuse.Status) { return nil, 600 }
	m := serve(t, mounttest.NewFS(bad))
	if _, err := mounttest.ReadAll(m.at("bad")); !errors.Is(err, unix.EIO) {
		t.Errorf("read: %v, want EIO", err)
	}
}

// A handle is released if the kernel does not take the reply to its OPEN.
func TestRefusedOpenIsReleased(t *testing.T) {
	g := newGate()
	f := mounttest.Direct("f", "")
	f.Open = func(cancel <-chan struct{}, _ *fuse.OpenIn, _ *fuse.OpenOut) fuse.Status {
		g.pass(cancel)
		return fuse.OK // too late, and despite the cancel
	}
	fs := mounttest.NewFS(f)
	m := serve(t, fs)
	cat := mounttest.Reader(t, m.at("f"))
	g.wait(t, 1)
	if err := m.Conn.at.Abort(); err != nil {
		t.Fatal(err)
	}
	mounttest.Exits(t, cat)
	if err := m.end(t); err == nil {
		t.Error("Serve returned nil after an abort")
	}
	if opens, releases := fs.Opens.Load(), fs.Releases.Load(); opens != 1 || releases != 1 {
		t.Errorf("%d opens, %d releases; want 1 and 1", opens, releases)
	}
	if m.Conn.at.Mounted() {
		t.Error("the dead mount is still there")
	}
}

func TestAllHandlesAreReleased(t *testing.T) {
	fs := mounttest.NewFS(mounttest.Direct("f", "x"))
	m := serve(t, fs)
	for range 10 {
		mounttest.Slurp(t, m.at("f"))
		fd, err := mounttest.Open(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Getdents(fd, make([]byte, 4096)); err != nil {
			t.Error(err)
		}
		unix.Close(fd)
	}
	// A close does not wait for its RELEASE, and an unmount drops those on their way.
	mounttest.Eventually(t, func() bool { return fs.Releases.Load() == 10 && fs.ReleaseDirs.Load() == 10 }, func() string {
		return fmt.Sprintf("%d and %d releases, want 10 and 10", fs.Releases.Load(), fs.ReleaseDirs.Load())
	})
}
