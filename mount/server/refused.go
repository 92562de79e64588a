package server

import "encoding/binary"

// refused undoes the effects of a reply that the kernel did not take. ENOENT means that the request is gone:
// the connection was aborted, or the request was answered already (see interrupted). The kernel does not know
// the handle that a refused OPEN or OPENDIR made, and will never send its RELEASE.
//
// References to nodes that a LOOKUP gave stay, because filesystems here need no FORGET.
func (s *server) refused(opcode uint32, node uint64, reply []byte) {
	release := map[uint32]uint32{opOpen: opRelease, opOpendir: opReleasedir}[opcode]
	if release == 0 || replyError(reply) != 0 || len(reply) < replyHeader+8 {
		return
	}
	fh := binary.NativeEndian.Uint64(reply[replyHeader:])
	s.ask(release, node, fh, 0, 0) // struct fuse_release_in
}
