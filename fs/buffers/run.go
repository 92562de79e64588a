// Package buffers holds the results of runs: small ones in buffers that are used again, large ones of trees in
// mappings outside of the heap.
package buffers

import (
	"math/bits"
	"sync"
)

// Run is the result of one run of a file. One open file holds it. READs copy, so none that is under way needs
// it.
type Run struct {
	Data   []byte
	Time   int64   // when it began, in seconds of Unix time
	mapped *mapped // nil: Data is on the heap
}

// Runs live in buffers of 2^n bytes, which are used again. Larger ones of trees are mapped, and others are left
// to the garbage collector: most runs are small, and a large buffer must not be held for ever.
const (
	leastBuffer = 8  // 256 bytes
	mostBuffer  = 18 // 256 KiB
)

var runs [mostBuffer + 1]sync.Pool // of *Run, by the logarithm of their room

// room returns the size of the buffer for a run of size bytes.
func room(size int) int {
	if size > 1<<mostBuffer {
		return size
	}
	return 1 << max(bits.Len(uint(max(size, 1)-1)), leastBuffer)
}

// Hold makes a run of a scratch buffer's content.
func (s *Scratch) Hold(data []byte, time int64) *Run {
	if s.mapped == nil {
		s.data = data
	}
	if len(data) > 1<<mostBuffer {
		if m := s.mapped; m != nil && m.holds(data) {
			s.mapped = nil
			m.trim(len(data))
			return &Run{data[:len(data):len(data)], time, m}
		}
		s.data = nil // a large one is not held for ever
		if cap(data)-len(data) > len(data)/4 {
			data = append(make([]byte, 0, len(data)), data...)
		}
		return &Run{data, time, nil}
	}
	size := room(len(data))
	r, _ := runs[bits.Len(uint(size))-1].Get().(*Run)
	if r == nil {
		r = &Run{Data: make([]byte, size)}
	}
	r.Data, r.Time = append(r.Data[:0], data...), time
	return r
}

// Done gives the run's buffer to later runs. A nil run has none.
func (r *Run) Done() {
	switch {
	case r == nil:
	case r.mapped != nil:
		r.mapped.end()
	case cap(r.Data) <= 1<<mostBuffer:
		runs[bits.Len(uint(cap(r.Data)))-1].Put(r)
	}
}

// Cost is how many bytes are charged for an open file with a run of size bytes on the heap.
func Cost(size int) int64 { return int64(room(size)) + fileCost }

// KeptCost is the charge, in whole pages, if the run is in the memory that outlives the server.
func KeptCost(size int) int64 { return int64(wholePages(size)) + fileCost }

func wholePages(size int) int { return (size + 4095) &^ 4095 }

// fileCost is the cost of an open file without its run, in bytes: its entry, its state, and garbage.
const fileCost = 1024

// Scratch is the buffer that a run is made in, before its size is known.
type Scratch struct {
	data   []byte
	mapped *mapped // for a tree
}

var scratches = sync.Pool{New: func() any { return new(Scratch) }}

// Begin returns an empty buffer.
func Begin(tree bool) (_ *Scratch, room []byte) {
	s := scratches.Get().(*Scratch)
	return s, s.room(tree)
}

func (s *Scratch) room(tree bool) []byte {
	if tree {
		if s.mapped = newMapped(); s.mapped != nil {
			return s.mapped.mem[:0]
		}
	}
	return s.data[:0]
}

// Fail takes the buffer back after a run that failed. It may have written to all of it.
func (s *Scratch) Fail() { s.End(mappedSize) }

// End takes the buffer back after the run was held. It was written up to written bytes.
func (s *Scratch) End(written int) {
	if s.mapped != nil {
		s.mapped.used = max(s.mapped.used, min(written, mappedSize))
		s.mapped.end()
		s.mapped = nil
	}
	scratches.Put(s)
}
