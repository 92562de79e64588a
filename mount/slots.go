package mount

import "encoding/binary"

// slotSize is the size of a request slot in bytes: FUSE_MIN_READ_BUFFER in linux/fuse.h. The kernel hands over nothing
// larger, because we tell it a max_write of a page and this mount is never written to.
const slotSize = 8192

// slot is where one loop reads its request into. Its first word is the request's length, and 0 when the request is
// answered: whoever finds another number there finds a request that still waits.
type slot []byte

// done empties the slot. It also maps its page for writing: a thread that is killed while the kernel would have to do that
// in the middle of a request makes it fail with EIO (__get_user_pages in mm/gup.c).
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
