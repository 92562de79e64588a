package fs

import (
	"sync/atomic"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// record is the state of an open file that outlives its server. It is complete once it has a handle.
type record struct {
	opener atomic.Uint64 // the OPEN, see requester; 0 if the record is free
	handle atomic.Uint64
	node   atomic.Uint64
	uid    atomic.Uint64
	first  atomic.Uint64 // the READ that first read the run's beginning, see requester; 0 before
	run    atomic.Uint64 // see runWord
	time   atomic.Int64  // of the run, in seconds of Unix time
	_      uint64
}

// requester identifies a request for good, because the kernel gives each one a new number, an even one.
func requester(h *fuse.InHeader) uint64 { return h.Unique | 1 }

// begins reports whether the READ is the first of the held run's first byte, or its replay after a server
// died before the reply.
func (r *record) begins(h *fuse.InHeader) bool {
	return r.first.CompareAndSwap(0, requester(h)) || r.first.Load() == requester(h)
}

// handle returns a number that no other handle of this mount ever had. Its low bits are the record's index.
func (m *memory) handle(index uint32) uint64 {
	return m.head.handles.Add(1)<<recordBits | uint64(index)
}

// take finds a record for a new handle; nil if too many are open.
func (m *memory) take(h *fuse.InHeader) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	for fresh := false; ; fresh = true {
		for len(m.free) > 0 {
			r := &m.records[m.free[len(m.free)-1]]
			m.free = m.free[:len(m.free)-1]
			if r.opener.CompareAndSwap(0, requester(h)) {
				return r
			}
		}
		if fresh {
			return nil
		}
		for index := uint32(maxRecords - 1); index > 0; index-- { // handles of directories have 0
			if m.records[index].opener.Load() == 0 {
				m.free = append(m.free, index)
			}
		}
	}
}

// used returns the records that may be in use.
func (m *memory) used() []record { return m.records[1 : 1+min(m.head.records.Load(), maxRecords-1)] }

func (m *memory) index(r *record) uint32 {
	return uint32((uintptr(unsafe.Pointer(r)) - uintptr(unsafe.Pointer(m.records))) / unsafe.Sizeof(*r))
}

// open completes a record that already has its run.
func (m *memory) open(r *record, fh uint64, h *fuse.InHeader) {
	index := uint64(m.index(r))
	for high := m.head.records.Load(); index > high; high = m.head.records.Load() {
		m.head.records.CompareAndSwap(high, index)
	}
	r.node.Store(h.NodeId)
	r.uid.Store(uint64(h.Uid))
	r.handle.Store(fh)
}

// find returns the record of a handle that this mount gave out and that is still open.
func (m *memory) find(fh uint64) *record {
	index := fh & (maxRecords - 1)
	if r := &m.records[index]; index != 0 && r.handle.Load() == fh {
		return r
	}
	return nil
}

// drop frees a record. The handle is cleared after the rest, so that a replayed RELEASE still finds the
// record. The run's number stays, so that a late run of the closed file is not taken for a run of the next
// file.
func (m *memory) drop(r *record) {
	word := runWord(r.run.Load())
	if word.kept() {
		m.forget(r, word)
	}
	r.run.Store(uint64(word.none()))
	for _, word := range []*atomic.Uint64{&r.first, &r.uid, &r.node, &r.handle, &r.opener} {
		word.Store(0)
	}
	r.time.Store(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, m.index(r))
}

// runWord describes an open file's run in one word, and so atomically. It has a number that changes with each run,
// the size, whether there is a run, whether its bytes are in the memory, and in which of the record's places.
//
//	[number 27][size 33][held 1][kept 1][place 2]
type runWord uint64

const (
	placeMask = places - 1
	keptBit   = places
	heldBit   = 2 * keptBit
	sizeAt    = 4
	sizeBits  = 33
	numberAt  = sizeAt + sizeBits
	// largestRun stands for all larger sizes, too; no run is as large.
	largestRun = 1<<sizeBits - 1
)

func (w runWord) place() int     { return int(w & placeMask) }
func (w runWord) kept() bool     { return w&keptBit != 0 }
func (w runWord) held() bool     { return w&heldBit != 0 }
func (w runWord) size() uint64   { return uint64(w >> sizeAt & (1<<sizeBits - 1)) }
func (w runWord) number() uint64 { return uint64(w >> numberAt) }

// next returns the word of the next run, of size bytes.
func (w runWord) next(size int) runWord {
	return runWord((w.number()+1)<<numberAt|min(uint64(size), largestRun)<<sizeAt|heldBit) | w&placeMask
}

// none returns the word of a record without a run.
func (w runWord) none() runWord { return runWord(w.number() << numberAt) }

// keptAt returns the word of the same run with its bytes at a place.
func (w runWord) keptAt(place int) runWord { return w&^placeMask | keptBit | runWord(place) }
