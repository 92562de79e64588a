package fs

import (
	"fmt"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// nodes gives every open file a node, that is an inode in the kernel, of its own: the inode's size and cached pages
// belong to one run then, and splice, sendfile and mmap readers of two runs never get each other's bytes.
//
// LOOKUP reserves for its caller the first generation of the file's node that is neither open nor reserved, and OPEN
// takes it. Mostly that is the same generation again, the inode that the kernel already has. A server does not know what the
// one before had reserved, so each begins with another generation. The
// same thread gets the same node again: it does one thing at a time, and the kernel asks twice when the first answer
// is not the node it had.
//
// OPEN of a node that has become another's, as the way there took longer than the reservation, is ESTALE: the kernel looks
// the path up again (do_filp_open in fs/namei.c). Where there is no path to look up (/proc/self/fd/N, a file bind mount)
// it comes back with the same node, and the two opens share it. Each still holds its own run and read(2) is exact; splice
// and mmap readers may see the later run.
type nodes struct {
	mu     sync.Mutex
	first  int                   // generation to try first
	states map[uint64]*nodeState // by node id: nodes that are open or reserved
	swept  time.Time             // when reservations that ran out were dropped last
	kept   int                   // how many states that left
}

type nodeState struct {
	attr   fuse.Attr // as LOOKUP found it, but Size: what the kernel was told last
	record *record   // of the file that was opened last: another server may have told the kernel another size
	open   int
	cached bool   // the kernel may have pages of the present run
	thread uint32 // who reserved it, 0 when nobody can tell
	until  time.Time
}

// A reservation must outlast the way from LOOKUP to OPEN inside one open(2). It is not held for longer because
// stat(2), which looks up and never opens, leaves one behind.
const reservation = 5 * time.Second

// Reservations that ran out are dropped when there are many states, and either twice as many as the last time or some time
// has passed since.
const (
	sweepFrom  = 1024
	sweepAfter = 10 * time.Second
)

// serverBand is how far apart the generations are that servers begin with.
const serverBand = 256

// startAt has the n-th server of a mount begin where no reservation of those before it can still be.
func (n *nodes) startAt(server uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.first = int(server*serverBand) & maxGeneration
}

func (n *nodes) init() { n.states = make(map[uint64]*nodeState) }

func (s *nodeState) free(thread uint32, now time.Time) bool {
	return s.open == 0 && (now.After(s.until) || s.thread == thread && thread != 0)
}

// reserve picks the generation of n that the thread which looks it up gets.
func (n *nodes) reserve(file node, attr fuse.Attr, thread uint32) (node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.sweep(now)
	var found *nodeState
	at := 0
	for i := range maxGeneration + 1 {
		file.generation = (n.first + i) & maxGeneration
		s := n.states[file.id()]
		if s == nil {
			s = &nodeState{}
			n.states[file.id()] = s
		}
		if s.free(thread, now) {
			found, at = s, file.generation
			break
		}
		// Many threads that only look must not keep others from opening: the oldest reservation is given up then.
		if s.open == 0 && (found == nil || s.until.Before(found.until)) {
			found, at = s, file.generation
		}
	}
	if found == nil {
		return node{}, fmt.Errorf("%d opens of one file at once: %w", maxGeneration+1, unix.ENFILE)
	}
	*found = nodeState{attr: attr, thread: thread, until: now.Add(reservation)}
	file.generation = at
	return file, nil
}

// taken tells whether a node that a thread is about to open is another's.
func (n *nodes) taken(id uint64, thread uint32) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.states[id]
	return s != nil && (s.open > 0 || s.thread != thread && time.Now().Before(s.until))
}

// sweep drops reservations that ran out: after stat(2) of many files nothing else would.
func (n *nodes) sweep(now time.Time) {
	if len(n.states) < max(sweepFrom, 2*n.kept) && (len(n.states) < sweepFrom || now.Sub(n.swept) < sweepAfter) {
		return
	}
	for id, s := range n.states {
		if s.open == 0 && now.After(s.until) {
			delete(n.states, id)
		}
	}
	n.swept, n.kept = now, len(n.states)
}

// opened takes the node for a file that is open, or about to be.
func (n *nodes) opened(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.states[id]
	if s == nil {
		s = &nodeState{}
		n.states[id] = s
	}
	s.open++
	s.until = time.Time{}
}

// holds notes the run of an open file.
func (n *nodes) holds(id uint64, size uint64, r *record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.states[id]
	s.attr.Size, s.record = size, r
}

// rerun notes the size of an open node's next run, and tells what the kernel's idea of the node was.
func (n *nodes) rerun(id uint64, size uint64) (oldSize uint64, cached bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.states[id]
	oldSize, cached = s.attr.Size, s.cached
	s.attr.Size, s.cached = size, false
	return oldSize, cached
}

// caching notes that the kernel fills its page cache from the node.
func (n *nodes) caching(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.states[id]; s != nil {
		s.cached = true
	}
}

// closed ends what opened began.
func (n *nodes) closed(id uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.states[id]; s != nil {
		if s.open--; s.open == 0 {
			delete(n.states, id)
		}
	}
}

// attr is what the kernel was told about a node that is open or reserved. All but its size is missing where OPEN came without
// LOOKUP.
func (n *nodes) attr(id uint64) (attr fuse.Attr, inUse bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.states[id]; s != nil {
		attr = s.attr
		if s.record != nil {
			if word := runWord(s.record.run.Load()); word != 0 {
				attr.Size = word.size()
			}
		}
		return attr, true
	}
	return fuse.Attr{}, false
}
