package buffers

import (
	"sync"
	"time"

	"bpfviewfs/fs/openfiles"
	"golang.org/x/sys/unix"
)

// mapped is memory for a run of a tree, outside of the heap. It has room for the largest runs, and takes only
// as many pages as were written. So a rendering never has to be copied to a larger buffer, and memory goes
// back to the kernel when the run is over, without a garbage collection.
type mapped struct {
	mem  []byte
	used int // bytes that may have been written
}

const (
	mappedSize = openfiles.LargestKept
	hugePage   = 2 << 20

	spareTime  = 5 * time.Second
	mostSpares = 2
	spareSize  = 32 << 20 // bytes that a spare may have in use
)

// spares are kept for a moment, because the next run is quicker in pages that are there.
var spares struct {
	mu    sync.Mutex
	free  []*mapped
	timer *time.Timer
}

// newMapped returns empty memory, or nil if the kernel has none.
func newMapped() *mapped {
	spares.mu.Lock()
	defer spares.mu.Unlock()
	if last := len(spares.free) - 1; last >= 0 {
		m := spares.free[last]
		spares.free = spares.free[:last]
		return m
	}
	mem, err := unix.Mmap(-1, 0, mappedSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	// Small runs are not to take a huge page each. An error means that there are none.
	_ = unix.Madvise(mem[hugePage:], unix.MADV_HUGEPAGE)
	return &mapped{mem: mem}
}

// holds reports whether data begins at the beginning of the memory.
func (m *mapped) holds(data []byte) bool { return len(data) > 0 && &data[0] == &m.mem[0] }

// trim gives the pages behind the first size bytes back, if they are many.
func (m *mapped) trim(size int) {
	m.used = max(m.used, size)
	keep := wholePages(size)
	if m.used-keep > keep/4 && unix.Madvise(m.mem[keep:], unix.MADV_DONTNEED) == nil {
		m.used = keep
	}
}

// end gives the memory back.
func (m *mapped) end() {
	spares.mu.Lock()
	defer spares.mu.Unlock()
	if m.used > spareSize || len(spares.free) == mostSpares {
		_ = unix.Munmap(m.mem)
		return
	}
	spares.free = append(spares.free, m)
	if spares.timer == nil {
		spares.timer = time.AfterFunc(spareTime, endSpares)
	}
	spares.timer.Reset(spareTime)
}

func endSpares() {
	spares.mu.Lock()
	defer spares.mu.Unlock()
	for _, m := range spares.free {
		_ = unix.Munmap(m.mem)
	}
	spares.free = nil
}
