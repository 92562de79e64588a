package fs

import (
	"maps"
	"slices"
	"sync"
)

// handles are the open files or directories, by the file handle that the kernel was given for them.
type handles[T any] struct {
	mu   sync.RWMutex
	open map[uint64]T
}

func (h *handles[T]) init() { h.open = make(map[uint64]T) }

// add gives what the handle stands for: v, or what somebody else has added meanwhile.
func (h *handles[T]) add(fh uint64, v T) (_ T, added bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if there, ok := h.open[fh]; ok {
		return there, false
	}
	h.open[fh] = v
	return v, true
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

func (h *handles[T]) all() []uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Collect(maps.Keys(h.open))
}
