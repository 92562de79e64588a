package server

import (
	"encoding/binary"

	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// replyHeader is the size of struct fuse_out_header in linux/fuse.h: len uint32; error int32; unique uint64.
// All numbers are in the machine's byte order.
const replyHeader = 16

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

// handleOf returns the open file or directory of a READ, READDIR, RELEASE or RELEASEDIR.
func handleOf(r handoff.Request) uint64 { return r.Body(0) }

// starts reports whether a READ is at the beginning of the file, where a view runs anew.
func starts(r handoff.Request) bool { return r.Body(8) == 0 }

// replySize returns the largest size of the reply to r, in bytes.
func replySize(r handoff.Request) int {
	const small = replyHeader + 4096 + 256 // any fixed struct, or a symbolic link's path
	at := 0
	switch r.Opcode() {
	case opRead, opReaddir, opReaddirplus:
		at = handoff.RequestHeader + 16 // fuse_read_in.size
	case opGetxattr, opListxattr:
		at = handoff.RequestHeader // fuse_getxattr_in.size
	case opIoctl:
		at = handoff.RequestHeader + 28 // fuse_ioctl_in.out_size
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
func newRequest(opcode uint32, unique, node uint64, uid uint32, body ...uint64) handoff.Request {
	ne := binary.NativeEndian
	r := make(handoff.Request, handoff.RequestHeader, handoff.RequestHeader+8*len(body))
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
	out := make([]byte, replySize(in))
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
