package fs

import "golang.org/x/sys/unix"

// Most runs are taken by one READ and live in this server's memory alone: the next server needs their size,
// and makes a new run when the beginning is read again. A READ that leaves something unread has the run's
// bytes kept in the memory first, so that the reader can go on after the death of the server. They are there
// once then, and not on the heap any more.

// keepPlace and keepRecords: a place up to this size keeps its pages for the next run, in the few records
// that are used most.
const (
	keepPlace   = 32 << 10
	keepRecords = 128
)

func placeAt(index uint32, place int) int64 {
	return bytesAt + (int64(index)*places+int64(place))<<placeBits
}

// hold puts a run in the place of the one that the record held. It gives false when the record is not the
// handle's any more, because the file was closed.
func (m *memory) hold(r *record, fh uint64, size int, time int64) (next runWord, held bool) {
	for {
		old := runWord(r.run.Load())
		if r.handle.Load() != fh {
			return 0, false
		}
		next = old.next(size)
		if !r.run.CompareAndSwap(uint64(old), uint64(next)) {
			continue // another server's run, or another file's
		}
		r.time.Store(time)
		if old.kept() {
			m.forget(r, old)
		}
		return next, true
	}
}

// keep writes the bytes of the run that the record holds to where those of the run before are not. Another
// server that works on the same open file writes elsewhere. It gives false when there is no room, or another
// run is held.
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

// load reads kept bytes of a run. It gives false when they are not there any more, because another run has
// come.
func (m *memory) load(r *record, word runWord, off uint64, into []byte) (n int, ok bool) {
	if !word.kept() || m.file == nil {
		return 0, false
	}
	n = int(min(uint64(len(into)), word.size()-min(off, word.size())))
	_, err := m.file.ReadAt(into[:n], placeAt(m.index(r), word.place())+int64(off))
	// Runs later the place is used again.
	return n, err == nil && runWord(r.run.Load()) == word
}

// forget gives the room of a run back that is not held any more.
func (m *memory) forget(r *record, word runWord) {
	if index := m.index(r); index >= keepRecords || word.size() > keepPlace {
		m.punch(index, word.place())
	}
}

// punch gives the pages of a place back.
func (m *memory) punch(index uint32, place int) {
	_ = unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, placeAt(index, place), largestKept)
}
