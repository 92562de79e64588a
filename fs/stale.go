package fs

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// stale chooses what a request on a cgroup that is gone is answered.
//
// The kernel may hold the name of a removed cgroup's directory for directoryTimeout, and by then a new cgroup may
// have the name: a restarted service has. ESTALE makes the kernel walk the path again and ask about every
// name (LOOKUP_REVAL, path_lookup in fs/namei.c), and the reader gets the new cgroup or an honest ENOENT. But where the
// walk starts inside the removed directory (the working directory, a bind mount) the second walk ends at the same
// node: then, and only then, the same thread asks about the same node again, and ENOENT is the answer.
type stale struct {
	window time.Duration // how long the kernel may take to come back

	mu     sync.Mutex
	recent [256]staleAnswer // by thread; an overwritten one costs a reader one more ESTALE
}

type staleAnswer struct {
	thread uint32
	node   uint64
	at     time.Time
}

func (s *stale) answer(h *fuse.InHeader) fuse.Status {
	if s.first(h.Pid, h.NodeId) {
		return fuse.Status(unix.ESTALE)
	}
	return fuse.ENOENT
}

// first tells whether a thread did not ask the same just before.
func (s *stale) first(thread uint32, node uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.recent[thread%uint32(len(s.recent))]
	now := time.Now()
	if last.thread == thread && last.node == node && now.Sub(last.at) < s.window {
		*last = staleAnswer{}
		return false
	}
	*last = staleAnswer{thread, node, now}
	return true
}
