package fs

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

const largeRun = 1 << 20

// numberedView is a view whose trees are large, and each run of another byte.
func numberedView(runs *atomic.Int32) View {
	v := recordView("v")
	v.Render = func(_ context.Context, _ Rendering, _ uint64, _ Rights, dst []byte) ([]byte, error) {
		return append(dst, bytes.Repeat([]byte{byte(runs.Add(1))}, largeRun)...), nil
	}
	return v
}

// lends sends a READ, and returns the bytes that are lent.
func (f *openFile) lends(off uint64) (data []byte, lent interface{ Done() }) {
	f.m.t.Helper()
	in := &fuse.ReadIn{InHeader: f.m.header(f.id), Fh: f.fh, Offset: off, Size: largeRun,
		ReadFlags: fuse.READ_LOCKOWNER}
	data, lent, st := f.m.ReadInto(nil, nil, in, make([]byte, largeRun))
	if !st.Ok() || lent == nil || len(data) != int(largeRun-off) {
		f.m.t.Fatalf("%d bytes, lent %v: %v", len(data), lent != nil, st)
	}
	return data, lent
}

// Bytes that are lent for a reply stay as they are, whatever becomes of the open file meanwhile.
func TestLentBytes(t *testing.T) {
	var runs atomic.Int32
	m, begin := newServer(t, numberedView(&runs))
	check := func(data []byte, run byte) {
		t.Helper()
		if n := bytes.Count(data, []byte{run}); n != len(data) || n == 0 {
			t.Errorf("of %d bytes of run %d there are %d", len(data), run, n)
		}
	}
	f := m.open(".bpfview", "tree", "v")
	first, lent := f.lends(0)
	second, lent2 := f.lends(0) // a new run
	f.pread(0, 100)             // and one more, for which no place is left
	f.pread(0, 100)
	check(first, 1)
	check(second, 2)
	lent2.Done()
	m.Release(nil, &fuse.ReleaseIn{InHeader: m.header(f.id), Fh: f.fh})
	check(first, 1)
	m.open(".bpfview", "tree", "v").pread(0, 100)
	check(first, 1)
	lent.Done()

	// The next server has the run, and lends what it makes itself.
	f = m.open(".bpfview", "tree", "v")
	run := byte(runs.Load())
	old, lent := f.lends(100)
	next := begin(numberedView(&runs))
	f = f.at(next)
	if got, st := f.pread(largeRun-3, 100); got != string([]byte{run, run, run}) {
		t.Errorf("the next server has %q, %v", got, st)
	}
	f.pread(0, 100)
	f.pread(0, 100)
	now, lent2 := f.lends(1)
	check(old, run)
	check(now, byte(runs.Load()))
	next.Alone()
	check(now, byte(runs.Load()))
	lent.Done()
	lent2.Done()
}
