// Package buffers holds the results of runs: small ones in buffers that are used again, large ones of trees in
// the memory that outlives the server.
package buffers

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"bpfviewfs/fs/openfiles"
)

// Run is the result of one run of a file. One open file holds it. READs copy from it, or borrow it if it is in a
// mapping.
type Run struct {
	Data    []byte
	Time    int64              // when it began, in seconds of Unix time
	mapping *openfiles.Mapping // nil: Data is on the heap
	lent    atomic.Int32       // how often, of one in a mapping
}

// Mapping is the memory that outlives the server if the run is there, else nil.
func (r *Run) Mapping() *openfiles.Mapping { return r.mapping }

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
	if s.mapping == nil {
		s.data = data
	}
	if len(data) > 1<<mostBuffer {
		if r := s.mapping; r.Holds(data) {
			s.mapping = nil
			r.Hold(len(data))
			return &Run{Data: data[:len(data):len(data)], Time: time, mapping: r}
		}
		s.data = nil // a large one is not held for ever
		if cap(data)-len(data) > len(data)/4 {
			data = append(make([]byte, 0, len(data)), data...)
		}
		return &Run{Data: data, Time: time}
	}
	size := room(len(data))
	r, _ := runs[bits.Len(uint(size))-1].Get().(*Run)
	if r == nil {
		r = &Run{Data: make([]byte, size)}
	}
	r.Data, r.Time = append(r.Data[:0], data...), time
	return r
}

// Lend returns up to size bytes of a run in a mapping, which stay until one more Done.
func (r *Run) Lend(off uint64, size int) []byte {
	r.lent.Add(1)
	data := r.Data[off:]
	return data[:min(size, len(data))]
}

// Done gives the run's buffer to later runs. A nil run has none.
func (r *Run) Done() {
	switch {
	case r == nil:
	case r.mapping != nil:
		if r.lent.Add(-1) < 0 {
			r.mapping.Done()
		}
	case cap(r.Data) <= 1<<mostBuffer:
		runs[bits.Len(uint(cap(r.Data)))-1].Put(r)
	}
}

// Cost is how many bytes are charged for an open file with the run.
func (r *Run) Cost() int64 {
	if r.mapping != nil {
		return KeptCost(len(r.Data))
	}
	return Cost(len(r.Data))
}

// Cost is how many bytes are charged for an open file with a run of size bytes on the heap.
func Cost(size int) int64 { return int64(room(size)) + fileCost }

// KeptCost is the charge, in whole pages, if the run is in the memory that outlives the server.
func KeptCost(size int) int64 { return int64(openfiles.WholePages(size)) + fileCost }

// fileCost is the cost of an open file without its run, in bytes: its entry, its state, and garbage.
const fileCost = 1024

// Scratch is the buffer that a run is made in, before its size is known.
type Scratch struct {
	data    []byte
	mapping *openfiles.Mapping // used in place of data if not nil
}

var scratches = sync.Pool{New: func() any { return new(Scratch) }}

// Begin returns an empty buffer, which is the mapping if that is not nil.
func Begin(mapping *openfiles.Mapping) (s *Scratch, empty []byte) {
	s = scratches.Get().(*Scratch)
	if s.mapping = mapping; mapping != nil {
		return s, mapping.Bytes()[:0]
	}
	return s, s.data[:0]
}

// Fail takes the buffer back after a run that failed. It may have written to all of it.
func (s *Scratch) Fail() { s.End(openfiles.LargestKept) }

// End takes the buffer back after the run was held. It was written up to written bytes.
func (s *Scratch) End(written int) {
	if s.mapping != nil {
		s.mapping.Drop(written)
		s.mapping = nil
	}
	scratches.Put(s)
}
