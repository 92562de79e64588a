package openfiles

import (
	"bytes"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Mapping is a place of an entry that this server has mapped, for a run of a tree. A run that is made there is in
// the memory that outlives the server from its first byte on, and is not copied to it. Pages that no run needs
// any more stay for a moment, because the next run is quicker in pages that are there.
type Mapping struct {
	memory *Memory
	index  uint32
	place  int
	bytes  []byte
	used   int  // bytes that may have pages
	size   int  // of the run, in whole pages; all of it while the run is made
	taken  bool // a run is in it
	chosen bool // the index is no longer in the list of free entries, and not yet taken
}

const (
	spareTime    = 5 * time.Second
	spareSize    = 64 << 20 // bytes that all mappings may have and do not need, unless memory is short
	spareShare   = 8        // and the part of the bytes of open files that they may have
	mostMappings = 4096     // the kernel has no more than 65530 mappings for a process
)

// mappings are the places that this server has mapped, or is writing to.
type mappings struct {
	mu    sync.Mutex
	at    map[int64]*Mapping // by placeAt
	timer *time.Timer        // ends spares
	spare int                // bytes that all mappings may have and do not need
}

// SetTotal is told how many bytes the runs of all open files may have. Pages that no run needs are few beside
// those.
func (m *Memory) SetTotal(bytes int64) {
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	m.mappings.spare = int(min(bytes/spareShare, spareSize))
}

// A shared mapping has no reserved memory. If the kernel refuses memory that is not reserved, a write to a new
// page would end the process with SIGBUS.
var strictOvercommit = sync.OnceValue(func() bool {
	mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	return err != nil || bytes.HasPrefix(mode, []byte{'2'})
})

// Mapping maps a place for the next run of an open file, or, if e is nil, of a file that will be opened with
// [Memory.Allocate]. It returns nil if that cannot be done. The caller ends it with Done.
func (m *Memory) Mapping(e *Entry) *Mapping {
	if m.file == nil || strictOvercommit() {
		return nil
	}
	chosen := e == nil
	if chosen {
		if e = m.choose(); e == nil {
			return nil
		}
	}
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	r := m.mappings.take(m, m.index(e), m.nextPlace(e.Run()))
	if chosen && r == nil {
		m.unchoose(m.index(e))
	} else if r != nil {
		r.chosen = chosen
	}
	return r
}

// take marks the mapping of a place as taken. It is nil if it is taken already, or cannot be mapped.
func (s *mappings) take(m *Memory, index uint32, place int) *Mapping {
	at := placeAt(index, place)
	r := s.at[at]
	if r == nil {
		if len(s.at) >= mostMappings {
			return nil
		}
		mem, err := unix.Mmap(int(m.file.Fd()), at, LargestKept, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_SHARED)
		if err != nil {
			return nil
		}
		r = &Mapping{memory: m, index: index, place: place, bytes: mem, used: keepPlace}
		if s.at == nil {
			s.at = make(map[int64]*Mapping)
		}
		s.at[at] = r
	}
	if r.taken {
		return nil
	}
	r.taken, r.size = true, LargestKept
	return r
}

// Bytes is the memory, which is as long as the longest run.
func (r *Mapping) Bytes() []byte { return r.bytes }

// Holds reports whether data begins where the mapping does.
func (r *Mapping) Holds(data []byte) bool {
	return r != nil && len(data) > 0 && &data[0] == &r.bytes[0]
}

// Hold ends the making of a run of size bytes.
func (r *Mapping) Hold(size int) {
	s := &r.memory.mappings
	s.mu.Lock()
	defer s.mu.Unlock()
	r.size = WholePages(size)
	r.used = max(r.used, r.size)
	s.keepSpare(r)
}

// Drop is Done for a mapping that was written to up to size bytes, and holds no run.
func (r *Mapping) Drop(size int) {
	r.Hold(min(size, LargestKept))
	r.Done()
}

// Done ends the use of the mapping.
func (r *Mapping) Done() {
	s := &r.memory.mappings
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.chosen {
		r.chosen = false
		r.memory.unchoose(r.index)
	}
	r.taken, r.size = false, 0
	s.keepSpare(r)
}

// keepSpare keeps the pages that the mapping does not need for a while, unless they are too many.
func (s *mappings) keepSpare(r *Mapping) {
	spare := 0
	for _, r := range s.at {
		spare += max(r.used-r.size, 0)
	}
	if spare > s.spare {
		r.trim()
		return
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(spareTime, r.memory.endSpares)
	}
	s.timer.Reset(spareTime)
}

// trim frees the pages that the mapping does not need, or all of it.
func (r *Mapping) trim() {
	at := placeAt(r.index, r.place)
	switch {
	case !r.taken:
		delete(r.memory.mappings.at, at)
		_ = unix.Munmap(r.bytes)
		r.memory.punch(r.index, r.place)
	case r.used > r.size && r.memory.punchAt(at+int64(r.size), r.used-r.size) == nil:
		r.used = r.size
	}
}

func (m *Memory) endSpares() {
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	for _, r := range m.mappings.at {
		r.trim()
	}
}

// borrow reserves a place that is written to without a mapping. It returns false if a run is made there. The
// caller calls giveBack after the entry's word has changed.
func (m *Memory) borrow(e *Entry, word RunWord) (place int, ok bool) {
	place = m.nextPlace(word)
	at := placeAt(m.index(e), place)
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	r := m.mappings.at[at]
	if r != nil && r.taken || e.Run() != word {
		return place, false
	}
	if r != nil {
		_ = unix.Munmap(r.bytes)
	} else if m.mappings.at == nil {
		m.mappings.at = make(map[int64]*Mapping)
	}
	m.mappings.at[at] = &Mapping{taken: true} // with nothing to trim
	return place, true
}

func (m *Memory) giveBack(e *Entry, place int) {
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	delete(m.mappings.at, placeAt(m.index(e), place))
}

// inUse reports whether a place is mapped or written to. Then its pages are freed later.
func (s *mappings) inUse(index uint32, place int) bool { return s.at[placeAt(index, place)] != nil }

// Alone is called when no other server works for the mount. It frees the pages that others have left, because
// they died in the middle of runs, or because this server did not know whether they still read them.
func (m *Memory) Alone() {
	m.alone.Store(true)
	if m.file == nil {
		return
	}
	for at := int64(bytesAt); ; {
		data, err := unix.Seek(int(m.file.Fd()), at, unix.SEEK_DATA)
		if err != nil || data < bytesAt { // ENXIO: there is no more
			return
		}
		n := (data - bytesAt) >> placeBits
		index, place := uint32(n/places), int(n%places)
		m.freeUnused(index, place)
		if m.Servers() != m.number {
			return
		}
		at = placeAt(index, place) + LargestKept
	}
}

func (m *Memory) freeUnused(index uint32, place int) {
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	word := m.entries[index].Run()
	if !m.mappings.inUse(index, place) && !(word.Kept() && word.place() == place) {
		m.whileAlone(func() { m.punch(index, place) })
	}
}

// WholePages is size rounded up to whole pages.
func WholePages(size int) int { return (size + 4095) &^ 4095 }
