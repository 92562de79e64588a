// Package handoff has the memory of requests, which outlives a server. The next server finds there the
// requests that were read and not answered.
package handoff

import "encoding/binary"

// SlotSize is the size of a request slot in bytes: FUSE_MIN_READ_BUFFER in linux/fuse.h. The kernel sends no
// larger request, because max_write is a page and this mount is never written to.
const SlotSize = 8192

// MaxSlots is how many requests a server may have read and not answered. A slot costs memory only once it is
// used, mostly one page, because requests are short.
const MaxSlots = 4096

// Slot is the buffer for one request. Its first word is the request's length, and 0 once the request is
// answered. A slot with another first word holds a request with a caller that still waits.
type Slot []byte

// Done empties the slot. It also makes its page writable. If the kernel had to do that in the middle of a
// request and the thread were killed then, the request would fail with EIO (__get_user_pages in mm/gup.c).
func (s Slot) Done() { binary.NativeEndian.PutUint32(s, 0) }

// Left returns the unanswered request in the slot, nil if there is none.
func (s Slot) Left() Request {
	n := binary.NativeEndian.Uint32(s)
	if n < RequestHeader || n > SlotSize {
		return nil
	}
	return Request(s[:n])
}

// newSlots cuts memory into slots.
func newSlots(memory []byte) []Slot {
	slots := make([]Slot, 0, len(memory)/SlotSize)
	for ; len(memory) >= SlotSize; memory = memory[SlotSize:] {
		slots = append(slots, Slot(memory[:SlotSize:SlotSize]))
	}
	return slots
}

// Pool hands out the slots of a server's region, the lowest first. So memory is touched only up to the most
// requests that were ever held at once, and a search for requests ends there.
type Pool struct {
	memory *Memory
	region int
	free   []Slot
	unused []Slot // never used for a request
}

// Get takes a slot out, nil if there is none.
func (p *Pool) Get() Slot {
	if last := len(p.free) - 1; last >= 0 {
		s := p.free[last]
		p.free = p.free[:last]
		return s
	}
	if len(p.unused) == 0 {
		return nil
	}
	s := p.unused[0]
	p.unused = p.unused[1:]
	p.memory.setUsed(p.region, MaxSlots-len(p.unused))
	s.Done()
	return s
}

// Empty reports whether Get would return nil.
func (p *Pool) Empty() bool { return len(p.free)+len(p.unused) == 0 }

// Put takes a slot back that holds no request.
func (p *Pool) Put(s Slot) { p.free = append(p.free, s) }
