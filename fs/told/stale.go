package told

import (
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Stale chooses between ESTALE and ENOENT where a request meets a cgroup that is gone.
//
// The kernel holds names for a second, and a new cgroup may have the name by then, for example that of a
// restarted service. ESTALE makes the kernel walk the path again and ask about every name (LOOKUP_REVAL,
// do_filp_open in fs/namei.c). So the reader gets the new cgroup or a correct ENOENT. But a walk that starts
// inside the removed directory (the working directory, a bind mount) ends at the same place the second time,
// and then ENOENT is the answer.
//
// The second walk can be recognised because exactly one request fails in each walk. A LOOKUP in a removed
// directory does not fail, because the kernel may ask twice in one walk: to revalidate the name it has, and
// to look it up. So the LOOKUP finds a node of its own, whatever the name, and the kernel then asks for its
// attributes, once. A LOOKUP in a directory that exists means that the walk leads around the removed
// directory, and its thread begins anew.
type Stale struct {
	window time.Duration

	mu     sync.Mutex
	recent [1024]staleAnswer // by thread; an overwritten one costs a reader one more ESTALE
}

// NewStale expects the kernel back within window, the time that it holds names for.
func NewStale(window time.Duration) *Stale { return &Stale{window: window} }

// staleAnswer is the last ESTALE of a thread.
type staleAnswer struct {
	thread uint32
	at     time.Time
}

func (s *Stale) of(thread uint32) *staleAnswer { return &s.recent[thread%uint32(len(s.recent))] }

// Answer returns ESTALE, or ENOENT if the thread has come back from an ESTALE. Threads that cannot be told
// apart have number 0 and always get ESTALE, because one of them must not get ENOENT for another thread's
// request.
func (s *Stale) Answer(h *fuse.InHeader) fuse.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, now := s.of(h.Pid), time.Now()
	if last.thread == h.Pid && h.Pid != 0 && now.Sub(last.at) < s.window {
		*last = staleAnswer{}
		return fuse.ENOENT
	}
	*last = staleAnswer{h.Pid, now}
	return fuse.Status(unix.ESTALE)
}

// Passed notes that a thread has looked up a name in a directory that exists.
func (s *Stale) Passed(thread uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.of(thread); last.thread == thread {
		*last = staleAnswer{}
	}
}
