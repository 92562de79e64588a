package fs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Most runs are taken by one READ and live on this server's heap alone. The next server needs only their
// size, and makes a new run when the beginning is read again. If a READ leaves a part unread, the run's bytes
// move to the memory first, so that the reader can go on after the death of the server.

// keepPlace and keepRecords: in the most used records, a place up to this size keeps its pages for the next
// run.
const (
	keepPlace   = 32 << 10
	keepRecords = 128
)

func placeAt(index uint32, place int) int64 {
	return bytesAt + (int64(index)*places+int64(place))<<placeBits
}

// hold replaces the run of a record. It returns false if the file was closed and the record belongs to
// another handle.
func (m *memory) hold(r *record, fh uint64, size int, time int64) (next runWord, held bool) {
	for {
		old := runWord(r.run.Load())
		if r.handle.Load() != fh {
			return 0, false
		}
		next = old.next(size)
		if !r.run.CompareAndSwap(uint64(old), uint64(next)) {
			continue // a run of another server, or of another file
		}
		r.time.Store(time)
		if old.kept() {
			m.forget(r, old)
		}
		return next, true
	}
}

// keep writes the bytes of the record's run to a place without the bytes of the run before. Another server
// with the same open file writes elsewhere. It returns false if there is no room, or the record holds another
// run.
func (m *memory) keep(r *record, word runWord, data []byte) (kept runWord, ok bool) {
	if m.file == nil || len(data) > largestKept {
		return word, false
	}
	place := m.side * 2
	if word.place() == place {
		place++
	}
	if _, err := m.file.WriteAt(data, placeAt(m.index(r), place)); err != nil {
		m.punch(m.index(r), place)
		return word, false
	}
	kept = word.keptAt(place)
	if !r.run.CompareAndSwap(uint64(word), uint64(kept)) {
		m.punch(m.index(r), place)
		return word, false
	}
	return kept, true
}

// errReplaced means that another run has replaced a kept one.
var errReplaced = errors.New("there is another run by now")

// load reads kept bytes of a run, or fails with errReplaced.
func (m *memory) load(r *record, word runWord, off uint64, into []byte) (n int, err error) {
	if !word.kept() || m.file == nil {
		return 0, errReplaced
	}
	n = int(min(uint64(len(into)), word.size()-min(off, word.size())))
	_, err = m.file.ReadAt(into[:n], placeAt(m.index(r), word.place())+int64(off))
	if runWord(r.run.Load()) != word { // the place is used again some runs later
		return 0, errReplaced
	}
	if err != nil {
		return 0, fmt.Errorf("read a run from the memory that outlives the server: %w: "+
			"read it again from the start", err)
	}
	return n, nil
}

// forget frees the room of a run that is no longer held.
func (m *memory) forget(r *record, word runWord) {
	if index := m.index(r); index >= keepRecords || word.size() > keepPlace {
		m.punch(index, word.place())
	}
}

// punch frees the pages of a place.
func (m *memory) punch(index uint32, place int) {
	_ = unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE,
		placeAt(index, place), largestKept)
}
