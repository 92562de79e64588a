package handoff

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// RequestHeader is the size of struct fuse_in_header in linux/fuse.h: len, opcode uint32; unique, nodeid
// uint64; uid uint32; ... All numbers are in the machine's byte order.
const RequestHeader = 40

const paddingAt = 38 // fuse_in_header.padding, which the kernel leaves 0

const (
	opOpen = 14 // enum fuse_opcode
	opRead = 15
)

// Request is one message from the kernel.
type Request []byte

// Opcode, Unique, Node and UID are members of the header.
func (r Request) Opcode() uint32 { return binary.NativeEndian.Uint32(r[4:]) }
func (r Request) Unique() uint64 { return r.number().Load() &^ decidedBit }
func (r Request) Node() uint64   { return binary.NativeEndian.Uint64(r[16:]) }
func (r Request) UID() uint32    { return binary.NativeEndian.Uint32(r[24:]) }

func (r Request) number() *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&r[8])) }

// decidedBit marks the number of a request. The kernel's numbers are far smaller, but for their highest bit
// (FUSE_UNIQUE_RESEND in linux/fuse.h).
const decidedBit = 1 << 62

// Decide reports whether the caller is the first to decide how the request of a number ends. A READ either gets
// a new run or is answered EINTR, and two servers may be about to decide that.
func (r Request) Decide(unique uint64) bool {
	return r.number().CompareAndSwap(unique, unique|decidedBit)
}

// SetUndecided is for a request that comes again, because its server died between decision and reply.
func (r Request) SetUndecided() { r.number().Store(r.Unique()) }

// Body returns the 64-bit word at an offset behind the header, or 0 if the request is too short.
func (r Request) Body(at int) uint64 {
	if len(r) < RequestHeader+at+8 {
		return 0
	}
	return binary.NativeEndian.Uint64(r[RequestHeader+at:])
}

// RunsView reports whether a view may run for the request.
func (r Request) RunsView() bool { return r.Opcode() == opOpen || r.Opcode() == opRead }

// Waits reports whether the request has been put off and not begun. The mark is in the header's padding, so
// that it outlives the server.
func (r Request) Waits() bool { return r[paddingAt] != 0 }

// SetWaits sets or takes away that mark.
func (r Request) SetWaits(waits bool) {
	r[paddingAt] = 0
	if waits {
		r[paddingAt] = 1
	}
}
