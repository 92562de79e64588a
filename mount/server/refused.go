package server

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// refusedLimit is how long a server tries to answer a request with an error. Its caller waits meanwhile.
const refusedLimit = 2 * time.Second

// fail answers a request with an error. If the kernel takes no reply of this process, not even that one, the
// process ends. Its request must be in a slot, in which the next server finds it.
func (s *server) fail(unique uint64, errno unix.Errno) {
	for begun, pause := time.Now(), time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := s.reply(unique, errno)
		if err == nil || err == unix.ENOENT || s.over.Load() {
			return
		}
		if time.Since(begun) > refusedLimit {
			s.conn.logf("no reply can be written: %v: this server ends, and the next one answers", err)
			unix.Kill(unix.Getpid(), unix.SIGKILL) // no view is to blame for it
		}
		time.Sleep(pause)
	}
}

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
