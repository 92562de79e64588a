package openfiles

import (
	"iter"
	"sync/atomic"
	"unsafe"
)

// Entry is the state of an open file that outlives its server. It is complete once it has a handle. A request
// is named by an odd number that no other request has, for example the kernel's own, which is even, and 1.
type Entry struct {
	opener atomic.Uint64 // the OPEN; 0 if the entry is free
	handle atomic.Uint64
	node   atomic.Uint64
	uid    atomic.Uint64
	first  atomic.Uint64 // the READ that first read the run's beginning; 0 before
	run    atomic.Uint64 // see RunWord
	time   atomic.Int64  // of the run, in seconds of Unix time
	_      uint64
}

// Opener is the OPEN that made the entry, 0 if the entry is free.
func (e *Entry) Opener() uint64 { return e.opener.Load() }

// Handle is 0 until the OPEN is complete.
func (e *Entry) Handle() uint64 { return e.handle.Load() }

// Node is the id of the open node.
func (e *Entry) Node() uint64 { return e.node.Load() }

// UID is the user who opened the file.
func (e *Entry) UID() uint32 { return uint32(e.uid.Load()) }

// Run describes the run that the open file holds.
func (e *Entry) Run() RunWord { return RunWord(e.run.Load()) }

// Time is the time of the run, in seconds of Unix time.
func (e *Entry) Time() int64 { return e.time.Load() }

// Begins reports whether a READ is the first of the held run's first byte, or its replay after a server died
// before the reply.
func (e *Entry) Begins(read uint64) bool {
	return e.first.CompareAndSwap(0, read) || e.first.Load() == read
}

// Begun notes that a READ has asked for the run that is held now.
func (e *Entry) Begun(read uint64) { e.first.Store(read) }

// Unread reports whether no READ has begun at the first byte of the held run.
func (e *Entry) Unread() bool { return e.first.Load() == 0 }

// Index is the number of an entry from its handle. Handles of directories have 0, which is no entry's.
func Index(handle uint64) int { return int(handle & (Entries - 1)) }

// Handle returns a number that no other handle of this mount ever had, of an entry, or of a directory if e is
// nil.
func (m *Memory) Handle(e *Entry) uint64 {
	index := uint64(0)
	if e != nil {
		index = uint64(m.index(e))
	}
	return m.head.handles.Add(1)<<entryBits | index
}

// Allocate finds an entry for the file that an OPEN opens; nil if too many are open. A run in a mapping is in the
// entry's place, unless all entries are in use or another server has the entry. mapping may be nil.
func (m *Memory) Allocate(open uint64, mapping *Mapping) *Entry {
	var e *Entry
	if mapping != nil && mapping.chosen {
		mapping.chosen = false
		e = &m.entries[mapping.index]
	}
	for {
		if e != nil && e.opener.CompareAndSwap(0, open) {
			m.used(m.index(e))
			return e
		}
		if e = m.choose(); e == nil {
			return nil
		}
	}
}

// used has All go as far as an entry.
func (m *Memory) used(index uint32) {
	for high := m.head.entries.Load(); uint64(index) > high; high = m.head.entries.Load() {
		m.head.entries.CompareAndSwap(high, uint64(index))
	}
}

// choose removes an entry from the list of free ones; nil if there is none. Another server may still allocate it.
func (m *Memory) choose() *Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	for fresh := false; ; fresh = true {
		for len(m.free) > 0 {
			e := &m.entries[m.free[len(m.free)-1]]
			m.free = m.free[:len(m.free)-1]
			if e.opener.Load() == 0 {
				return e
			}
		}
		if fresh {
			return nil
		}
		for index := uint32(Entries - 1); index > 0; index-- {
			if m.entries[index].opener.Load() == 0 {
				m.free = append(m.free, index)
			}
		}
	}
}

func (m *Memory) unchoose(index uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, index)
}

// All are the entries that may be in use.
func (m *Memory) All() iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for index := range min(m.head.entries.Load(), Entries-1) {
			if !yield(&m.entries[index+1]) {
				return
			}
		}
	}
}

func (m *Memory) index(e *Entry) uint32 {
	return uint32((uintptr(unsafe.Pointer(e)) - uintptr(unsafe.Pointer(m.entries))) / unsafe.Sizeof(*e))
}

// Complete gives an entry that already has its run its handle.
func (m *Memory) Complete(e *Entry, handle, node uint64, uid uint32) {
	e.node.Store(node)
	e.uid.Store(uint64(uid))
	e.handle.Store(handle)
}

// Find returns the entry of a handle that this mount gave out and that is still open; nil if there is none.
func (m *Memory) Find(handle uint64) *Entry {
	index := Index(handle)
	if e := &m.entries[index]; index != 0 && e.handle.Load() == handle {
		return e
	}
	return nil
}

// Drop frees an entry. The handle is cleared after the rest, so that a replayed RELEASE still finds the
// entry. The run's number stays, so that a late run of the closed file is not taken for a run of the next
// file.
func (m *Memory) Drop(e *Entry) {
	word := e.Run()
	if word.Kept() {
		m.empty(e, word)
	}
	e.run.Store(uint64(word.none()))
	e.time.Store(0)
	for _, word := range []*atomic.Uint64{&e.first, &e.uid, &e.node, &e.handle, &e.opener} {
		word.Store(0)
	}
	m.unchoose(m.index(e))
}

// RunWord describes an open file's run in one word, and so atomically. It has a number that changes with each
// run, the size, whether there is a run, whether its bytes are in the memory, and in which of the entry's places.
//
//	[number 27][size 33][held 1][kept 1][place 2]
type RunWord uint64

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

func (w RunWord) place() int { return int(w & placeMask) }

// Kept reports whether the bytes of the run are in the memory.
func (w RunWord) Kept() bool { return w&keptBit != 0 }

// Held reports whether there is a run.
func (w RunWord) Held() bool { return w&heldBit != 0 }

// Size is the length of the run, in bytes.
func (w RunWord) Size() uint64 { return uint64(w >> sizeAt & (1<<sizeBits - 1)) }

func (w RunWord) number() uint64 { return uint64(w >> numberAt) }

// next returns the word of the next run, of size bytes.
func (w RunWord) next(size int) RunWord {
	return RunWord((w.number()+1)<<numberAt|min(uint64(size), largestRun)<<sizeAt|heldBit) | w&placeMask
}

// none returns the word of an entry without a run.
func (w RunWord) none() RunWord { return RunWord(w.number() << numberAt) }

// keptAt returns the word of the same run with its bytes at a place.
func (w RunWord) keptAt(place int) RunWord { return w&^placeMask | keptBit | RunWord(place) }
