package mount

import (
	"encoding/binary"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Layout of messages, linux/fuse.h. All numbers are in the machine's byte order.
const (
	requestHeader = 40 // struct fuse_in_header: len, opcode uint32; unique, nodeid uint64; uid uint32; ...
	paddingAt     = 38 // fuse_in_header.padding, which the kernel leaves 0
	replyHeader   = 16 // struct fuse_out_header: len uint32; error int32; unique uint64
)

// Opcodes that the loop must know (enum fuse_opcode).
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opRelease     = 18
	opGetxattr    = 22
	opListxattr   = 23
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opIoctl       = 39
	opBatchForget = 42
	opReaddirplus = 44
)

const rootNode = 1 // FUSE_ROOT_ID

// request is one message from the kernel.
type request []byte

func (r request) opcode() uint32 { return binary.NativeEndian.Uint32(r[4:]) }
func (r request) unique() uint64 { return binary.NativeEndian.Uint64(r[8:]) }
func (r request) node() uint64   { return binary.NativeEndian.Uint64(r[16:]) }
func (r request) uid() uint32    { return binary.NativeEndian.Uint32(r[24:]) }

// body returns the 64-bit word at an offset behind the header, or 0 if the request is too short.
func (r request) body(at int) uint64 {
	if len(r) < requestHeader+at+8 {
		return 0
	}
	return binary.NativeEndian.Uint64(r[requestHeader+at:])
}

// handle returns the open file or directory of a READ, READDIR, RELEASE or RELEASEDIR.
func (r request) handle() uint64 { return r.body(0) }

// starts reports whether a READ is at the beginning of the file, where a view runs anew.
func (r request) starts() bool { return r.body(8) == 0 }

// waits reports whether the request has been put off and not begun. The mark is in the header's padding, so
// that it outlives the server.
func (r request) waits() bool { return r[paddingAt] != 0 }

func (r request) setWaits(waits bool) {
	r[paddingAt] = 0
	if waits {
		r[paddingAt] = 1
	}
}

// replySize returns the largest size of the reply to r, in bytes.
func (r request) replySize() int {
	const small = replyHeader + 4096 + 256 // any fixed struct, or a symbolic link's path
	at := 0
	switch r.opcode() {
	case opRead, opReaddir, opReaddirplus:
		at = requestHeader + 16 // fuse_read_in.size
	case opGetxattr, opListxattr:
		at = requestHeader // fuse_getxattr_in.size
	case opIoctl:
		at = requestHeader + 28 // fuse_ioctl_in.out_size
	}
	if at == 0 || len(r) < at+4 {
		return small
	}
	return small + int(binary.NativeEndian.Uint32(r[at:]))
}

func putReply(to []byte, length int, code int32, unique uint64) {
	ne := binary.NativeEndian
	ne.PutUint32(to[0:], uint32(length))
	ne.PutUint32(to[4:], uint32(code))
	ne.PutUint64(to[8:], unique)
}

func replyUnique(reply []byte) uint64 { return binary.NativeEndian.Uint64(reply[8:]) }
func replyError(reply []byte) int32   { return int32(binary.NativeEndian.Uint32(reply[4:])) }

// newRequest makes a request as the kernel would send it.
func newRequest(opcode uint32, unique, node uint64, uid uint32, body ...uint64) request {
	ne := binary.NativeEndian
	r := make(request, requestHeader, requestHeader+8*len(body))
	for _, word := range body {
		r = ne.AppendUint64(r, word)
	}
	ne.PutUint32(r[0:], uint32(len(r)))
	ne.PutUint32(r[4:], opcode)
	ne.PutUint64(r[8:], unique)
	ne.PutUint64(r[16:], node)
	ne.PutUint32(r[24:], uid)
	return r
}

// ask puts a request of the server to the filesystem as if the kernel had sent it, so that a panic is
// stopped. It returns the reply without its header.
func (s *server) ask(opcode uint32, node uint64, body ...uint64) ([]byte, error) {
	in := newRequest(opcode, 0, node, 0, body...)
	out := make([]byte, in.replySize())
	n, status := s.proto.HandleRequest([][]byte{in}, [][]byte{out})
	switch {
	case status != fuse.OK:
		return nil, unix.Errno(status)
	case n < replyHeader:
		return nil, nil
	case replyError(out) != 0:
		return nil, unix.Errno(-replyError(out))
	}
	return out[replyHeader:n], nil
}
