package fs

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bpfviewfs/fs/limits"
	"bpfviewfs/internal/room"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// largeView is a view of 1 MB. Each run asks for its memory first, and then waits in taken and made.
type largeView struct {
	View
	runs        atomic.Int32
	taken, made chan bool
}

const largeSize = 1 << 20

func newLargeView() *largeView {
	v := &largeView{taken: make(chan bool, 100), made: make(chan bool)}
	v.View = View{Name: "large", Kind: "text"}
	v.Run = func(ctx context.Context, _ uint64, dst []byte) ([]byte, error) {
		var r room.Room
		r.Begin(ctx)
		v.runs.Add(1)
		if err := r.Take(largeSize); err != nil {
			return nil, err
		}
		v.taken <- true
		<-v.made
		return append(dst, strings.Repeat("x", largeSize)...), nil
	}
	return v
}

func (m *mount) waitForWaiting(n int) {
	for m.limits.Sum().Waiting != n {
		time.Sleep(time.Millisecond)
	}
}

// TestRunsAreChargedBefore holds that runs have their memory before they take it, and wait for it in turn.
func TestRunsAreChargedBefore(t *testing.T) {
	v := newLargeView()
	c := Config{Limits: limits.Limits{Total: 1500 << 10, Wait: time.Hour}}
	m := newMount(t, c, v.View, text("small", "x"))
	out, _ := m.walk("large")
	type result struct {
		file *openFile
		st   fuse.Status
	}
	open := func() <-chan result {
		c := make(chan result, 1)
		go func() {
			f, st := m.openNode(out.NodeId)
			c <- result{f, st}
		}()
		return c
	}
	finish := func(c <-chan result) *openFile {
		t.Helper()
		v.made <- true
		r := <-c
		if !r.st.Ok() {
			t.Fatalf("a run that has its memory ends with %v", r.st)
		}
		if got, st := r.file.pread(largeSize-10, 100); len(got) != 10 || !st.Ok() {
			t.Errorf("the end of a run is %q (%v)", got, st)
		}
		return r.file
	}
	first := open()
	<-v.taken
	second := open()
	m.waitForWaiting(1)
	if n := v.runs.Load(); n != 2 {
		t.Errorf("%d runs were tried", n)
	}
	if held := m.limits.Sum().Held; held < largeSize-room.Free {
		t.Errorf("%d bytes are charged for a run under way", held)
	}
	m.open("small").close()
	finish(first).close()
	<-v.taken
	third := open()
	m.waitForWaiting(1)
	if n := v.runs.Load(); n != 3 {
		t.Errorf("%d runs were tried: the third did not know what it needs", n)
	}
	f := finish(second)
	if _, st := m.openNode(out.NodeId); st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("a run beside an open file ends with %v", st)
	}
	f.close()
	<-v.taken
	finish(third).close()
	if s := m.limits.Sum(); s.Uses != 0 || s.Held != 0 {
		t.Errorf("left: %+v", s)
	}
}

// TestRunsThatWaitForMemory are interrupted, or larger than all memory.
func TestRunsThatWaitForMemory(t *testing.T) {
	v := newLargeView()
	m := newMount(t, Config{Limits: limits.Limits{Total: 1500 << 10, Wait: time.Hour}}, v.View)
	out, _ := m.walk("large")
	done, waits, cancel := make(chan fuse.Status), make(chan fuse.Status), make(chan struct{})
	open := func(c chan fuse.Status, cancel chan struct{}) {
		c <- m.Open(cancel, &fuse.OpenIn{InHeader: m.header(out.NodeId)}, &fuse.OpenOut{})
	}
	go open(done, nil)
	<-v.taken
	go open(waits, cancel)
	m.waitForWaiting(1)
	close(cancel)
	if st := <-waits; st != fuse.EINTR {
		t.Errorf("a run that waits is interrupted with %v", st)
	}
	m.SetTotal(largeSize / 2)
	if _, st := m.openNode(out.NodeId); st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("a run that needs more than all memory ends with %v", st)
	}
	v.made <- true
	if st := <-done; st != fuse.Status(unix.ENOBUFS) {
		t.Errorf("a run for which there is no memory any more ends with %v", st)
	}
	if s := m.limits.Sum(); s.Uses != 0 || s.Held != 0 {
		t.Errorf("left: %+v", s)
	}
	if errs := string(m.errors.Append(nil)); !strings.Contains(errs, "a run takes ") {
		t.Errorf("errors says:\n%s", errs)
	}
}
