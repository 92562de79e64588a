package openfiles

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Most runs are taken by one READ and live on this server's heap alone. The next server needs only their
// size, and makes a new run when the beginning is read again. If a READ leaves a part unread, the run's bytes
// move to the memory first, so that the reader can go on after the death of the server.

// keepPlace and keepEntries: in the most used entries, a place up to this size keeps its pages for the next
// run.
const (
	keepPlace   = 32 << 10
	keepEntries = 128
)

func placeAt(index uint32, place int) int64 {
	return bytesAt + (int64(index)*places+int64(place))<<placeBits
}

// Hold replaces the run of an entry. A run in a mapping of the entry is kept by that. It returns false if the file
// was closed and the entry belongs to another handle.
func (m *Memory) Hold(e *Entry, handle uint64, size int, time int64, mapping *Mapping) (next RunWord, held bool) {
	for {
		old := e.Run()
		if e.handle.Load() != handle {
			return 0, false
		}
		next = old.next(size)
		if mapping != nil && mapping.index == m.index(e) {
			next = next.keptAt(mapping.place)
		}
		if !e.run.CompareAndSwap(uint64(old), uint64(next)) {
			continue // a run of another server, or of another file
		}
		e.time.Store(time)
		if old.Kept() {
			m.empty(e, old)
		}
		return next, true
	}
}

// Save writes the bytes of the entry's run to a place without the bytes of the run before. Another server
// with the same open file writes elsewhere. It returns false if there is no room, or the entry holds another
// run.
func (m *Memory) Save(e *Entry, word RunWord, data []byte) (kept RunWord, ok bool) {
	if m.file == nil || len(data) > LargestKept {
		return word, false
	}
	place, ok := m.borrow(e, word)
	if !ok {
		return word, false
	}
	defer m.giveBack(e, place)
	if _, err := m.file.WriteAt(data, placeAt(m.index(e), place)); err != nil {
		m.punch(m.index(e), place)
		return word, false
	}
	kept = word.keptAt(place)
	if !e.run.CompareAndSwap(uint64(word), uint64(kept)) {
		m.punch(m.index(e), place)
		return word, false
	}
	return kept, true
}

// ErrReplaced means that another run has replaced a kept one.
var ErrReplaced = errors.New("there is another run by now")

// Load reads kept bytes of a run, or fails with ErrReplaced.
func (m *Memory) Load(e *Entry, word RunWord, off uint64, into []byte) (n int, err error) {
	if !word.Kept() || m.file == nil {
		return 0, ErrReplaced
	}
	n = int(min(uint64(len(into)), word.Size()-min(off, word.Size())))
	_, err = m.file.ReadAt(into[:n], placeAt(m.index(e), word.place())+int64(off))
	if e.Run() != word { // the place is used again some runs later
		return 0, ErrReplaced
	}
	if err != nil {
		return 0, fmt.Errorf("read a run from the memory that outlives the server: %w: "+
			"read it again from the start", err)
	}
	return n, nil
}

// empty frees the place of a run that is no longer held. The pages of another server's places stay until that
// server is gone, because it may be writing a reply from there.
func (m *Memory) empty(e *Entry, word RunWord) {
	index, place := m.index(e), word.place()
	if index < keepEntries && word.Size() <= keepPlace {
		return
	}
	m.mappings.mu.Lock()
	defer m.mappings.mu.Unlock()
	switch {
	case m.mappings.inUse(index, place):
	case place/2 == m.side:
		m.punch(index, place)
	default:
		m.whileAlone(func() { m.punch(index, place) })
	}
}

// nextPlace is the place of the run after another one, which keeps its own.
func (m *Memory) nextPlace(word RunWord) int {
	place := m.side * 2
	if word.place() == place {
		place++
	}
	return place
}

// punch frees the pages of a place.
func (m *Memory) punch(index uint32, place int) {
	_ = m.punchAt(placeAt(index, place), LargestKept)
}

func (m *Memory) punchAt(at int64, size int) error {
	return unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at,
		int64(size))
}
