package mount

import "encoding/binary"

// slotSize is the size of a request slot in bytes: FUSE_MIN_READ_BUFFER in linux/fuse.h. The kernel hands over nothing
// larger, because we tell it a max_write of a page and this mount is never written to.
const slotSize = 8192

// maxSlots is how many requests a server may have read and not answered. A slot costs memory once it is used, mostly
// one page, because requests are short.
const maxSlots = 4096

// slot is where a request is read into. Its first word is the request's length, and 0 when the request is answered.
// So whoever finds another number there finds a request whose caller still waits.
type slot []byte

// done empties the slot. It also maps its page for writing: if the kernel had to do that in the middle of a request and the
// thread were killed then, the request would fail with EIO (__get_user_pages in mm/gup.c).
func (s slot) done() { binary.NativeEndian.PutUint32(s, 0) }

// left is the request in the slot that is not answered, nil when there is none.
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

// pool hands out the slots of a server's region. The lowest come first, so that memory is touched only as far as there were
// ever requests at once, and whoever looks for requests need look only that far.
type pool struct {
	state  *state
	region int
	free   []slot
	unused []slot // nothing was ever read into these
}

// get takes a slot out, nil when there is none.
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
