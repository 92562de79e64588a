package fs

import (
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// run is what one run of a view gave. Its bytes are shared by the open file and the READs that are being answered
// from it, and are used again when the last of them is done.
type run struct {
	data    []byte
	users   atomic.Int32
	account *account // who is charged for holding it
	charged int64
}

var runs = sync.Pool{New: func() any { return new(run) }}

// A buffer above this size is left to the garbage collector: most runs are small, and one large one must not
// be held for ever.
const keepBuffer = 256 << 10

func newRun() *run {
	r := runs.Get().(*run)
	r.users.Store(1)
	return r
}

// leastHeld is what every held run costs, in bytes: there are so many open files for all users (maxRecords), and one user
// must not have them all with runs of a few bytes.
const leastHeld = 16 << 10

// fit tells what it costs to hold the run, and gives a buffer that is larger than that back to other runs. A buffer that
// grows has up to a quarter more than it needs.
func (r *run) fit() (cost int64) {
	most := len(r.data) + len(r.data)/4 + leastHeld
	if cap(r.data) > most {
		other := newRun()
		other.data, r.data = r.data[:0], append([]byte(nil), r.data...)
		other.done()
	}
	return int64(most)
}

func (r *run) done() {
	if r.users.Add(-1) > 0 {
		return
	}
	if r.account != nil {
		r.account.release(r.charged)
		r.account, r.charged = nil, 0
	}
	if r.data = r.data[:0]; cap(r.data) > keepBuffer {
		r.data = nil
	}
	runs.Put(r)
}

// slice is the part of the held run that a READ asks for; nothing beyond its end. The run is fetched from the memory if it
// is there that another server has put it. unix.ESTALE: it is nowhere any more.
func (f *FS) slice(o *file, off uint64, size int) (*slice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.record.handle.Load() != o.handle {
		return nil, errClosed
	}
	if word := runWord(o.record.run.Load()); o.run == nil || word != o.word {
		r, word, ok := f.recall(o.record)
		if !ok {
			return nil, unix.ESTALE
		}
		if o.run != nil {
			o.run.done()
		}
		o.run, o.word = r, word
	}
	s := &slice{run: o.run}
	o.run.users.Add(1)
	if off < uint64(len(o.run.data)) {
		rest := o.run.data[off:]
		s.part[0] = rest[:min(size, len(rest))]
	}
	return s, nil
}

// slice is a fuse.ReadResult that go-fuse copies once, from the run to the reply.
type slice struct {
	run  *run
	part [1][]byte
}

var _ fuse.ReadResult = (*slice)(nil)

func (s *slice) Bytes([]byte) ([]byte, fuse.Status) { return s.part[0], fuse.OK }
func (s *slice) Slices() ([][]byte, fuse.Status)    { return s.part[:], fuse.OK }
func (s *slice) Size() int                          { return len(s.part[0]) }
func (s *slice) Done()                              { s.run.done() }
