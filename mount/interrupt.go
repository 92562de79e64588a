package mount

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// interruptGrace is for how long an interrupted request may still be answered by the filesystem. Most are done in
// microseconds, and their callers need never know of a signal that they meant to ignore.
const interruptGrace = 50 * time.Millisecond

// interrupted sees to it that the request that r interrupts is answered soon. The filesystem has been told
// by its cancel channel, but may be in a system call that cannot be stopped, a run of a view above all: the caller, who may
// have been killed, would be in D state until that ends. EINTR is then given in the filesystem's place. The answer that
// comes later is refused by the kernel, and undone: see refused.
func (s *server) interrupted(r request) {
	if len(r) < requestHeader+8 {
		return
	}
	unique := binary.NativeEndian.Uint64(r[requestHeader:]) // struct fuse_interrupt_in
	time.AfterFunc(interruptGrace, func() {
		if !slices.Contains(s.inWork(), unique) {
			return
		}
		var reply [replyHeader]byte
		putReply(reply[:], replyHeader, -int32(unix.EINTR), unique)
		s.conn.mu.RLock()
		defer s.conn.mu.RUnlock()
		if s.conn.fd >= 0 {
			unix.Write(s.conn.fd, reply[:]) // ENOENT: answered just now
		}
	})
}
