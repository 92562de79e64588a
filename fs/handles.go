package fs

import "sync"

// handles are the open files or directories, by the file handle that the kernel was given for them.
type handles[T any] struct {
	mu   sync.RWMutex
	last uint64
	open map[uint64]T
}

func (h *handles[T]) init() { h.open = make(map[uint64]T) }

func (h *handles[T]) add(v T) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.open[h.last] = v
	return h.last
}

func (h *handles[T]) get(fh uint64) (v T, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	v, ok = h.open[fh]
	return v, ok
}

func (h *handles[T]) remove(fh uint64) (v T, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok = h.open[fh]
	delete(h.open, fh)
	return v, ok
}

func (h *handles[T]) count() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.open)
}
