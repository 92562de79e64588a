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
	mu     sync.Mutex
	recent [64]staleAnswer // by thread; an overwritten one costs a reader ESTALE instead of ENOENT
}

type staleAnswer struct {
	thread uint32
	node   uint64
	at     time.Time
}

func (s *stale) answer(h *fuse.InHeader) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.recent[h.Pid%uint32(len(s.recent))]
	now := time.Now()
	if last.thread == h.Pid && last.node == h.NodeId && now.Sub(last.at) < directoryTimeout {
		*last = staleAnswer{}
		return fuse.ENOENT
	}
	*last = staleAnswer{h.Pid, h.NodeId, now}
	return fuse.Status(unix.ESTALE)
}
