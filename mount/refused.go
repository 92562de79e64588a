package mount

import "encoding/binary"

// refused undoes what the filesystem did for a reply that the kernel did not take (ENOENT: the request is gone, because
// the connection was aborted or the request was answered already, see interrupted). A handle that an OPEN or OPENDIR
// made is unknown to the kernel then, which will never send its RELEASE.
//
// References to nodes that a LOOKUP gave are left as they are: this is for filesystems that need no FORGET.
func (s *server) refused(opcode uint32, node uint64, reply []byte) {
	release := map[uint32]uint32{opOpen: opRelease, opOpendir: opReleasedir}[opcode]
	if release == 0 || replyError(reply) != 0 || len(reply) < replyHeader+8 {
		return
	}
	fh := binary.NativeEndian.Uint64(reply[replyHeader:])
	s.ask(release, node, fh, 0, 0) // struct fuse_release_in
}
