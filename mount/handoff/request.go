package handoff

import "encoding/binary"

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
func (r Request) Unique() uint64 { return binary.NativeEndian.Uint64(r[8:]) }
func (r Request) Node() uint64   { return binary.NativeEndian.Uint64(r[16:]) }
func (r Request) UID() uint32    { return binary.NativeEndian.Uint32(r[24:]) }

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
