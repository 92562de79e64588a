package mount

import "encoding/binary"

// slotSize is the size of a request slot in bytes: FUSE_MIN_READ_BUFFER in linux/fuse.h. The kernel sends no
// larger request, because max_write is a page and this mount is never written to.
const slotSize = 8192

// maxSlots is how many requests a server may have read and not answered. A slot costs memory only once it is
// used, mostly one page, because requests are short.
const maxSlots = 4096

// slot is the buffer for one request. Its first word is the request's length, and 0 once the request is
// answered. A slot with another first word holds a request with a caller that still waits.
type slot []byte

// done empties the slot. It also makes its page writable. If the kernel had to do that in the middle of a
// request and the thread were killed then, the request would fail with EIO (__get_user_pages in mm/gup.c).
func (s slot) done() { binary.NativeEndian.PutUint32(s, 0) }

// left returns the unanswered request in the slot, nil if there is none.
func (s slot) left() request {
	n := binary.NativeEndian.Uint32(s)
	if n < requestHeader || n > slotSize {
		return nil
	}
	return request(s[:n])
}

// newSlots cuts memory into slots.
func newSlots(memory []byte) []slot {
	slots := make([]slot, 0, len(memory)/slotSize)
	for ; len(memory) >= slotSize; memory = memory[slotSize:] {
		slots = append(slots, slot(memory[:slotSize:slotSize]))
	}
	return slots
}

// pool hands out the slots of a server's region, the lowest first. So memory is touched only up to the most
// requests that were ever held at once, and a search for requests ends there.
type pool struct {
	state  *state
	region int
	free   []slot
	unused []slot // never used for a request
}

// get takes a slot out, nil if there is none.
func (p *pool) get() slot {
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
	p.state.setUsed(p.region, maxSlots-len(p.unused))
	s.done()
	return s
}

func (p *pool) put(s slot) { p.free = append(p.free, s) }
