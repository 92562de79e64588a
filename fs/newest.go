package fs

import (
	"cmp"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// newest knows the size and time of each file's newest run, the values of stat(2), and the values that the
// kernel was told. The kernel holds attributes for cacheTime. So a run that changes them must invalidate
// them, and a run that does not must cost nothing.
//
// A file without an entry has size noSize and its cgroup's times. Opening it always tells the kernel to
// forget. So entries can be dropped at any time, and a walk over a million files leaves none behind. Entries
// of closed files are dropped when there are many.
type newest struct {
	mu     sync.Mutex
	files  map[uint64]*shown // by node id
	closed int               // entries of files that are not open
}

// shown holds the values of stat(2) for one file. All but id is protected by newest.mu.
type shown struct {
	id   uint64
	open int
	used bool // since the last sweep

	size uint64 // of the newest run
	time int64  // of the newest run, in seconds of Unix time; 0 before the first
	most uint64 // bytes of the largest run that an open file may hold

	kernel   held // the kernel's knowledge of it
	toldTime int64
	toldSize uint64 // size of the kernel's inode, whether its attributes are valid or not
}

const (
	// noSize is shown before the first run and for an empty one, as in sysfs. The size must never be 0:
	// splice(2) and sendfile(2) take that for the end of the file, while a READ of the page cache gives
	// EINVAL.
	noSize = 4096
	// readUnit is the least that the kernel rounds the size up to before it cuts an asynchronous read
	// (fuse_direct_IO in fs/fuse/file.c): 32 pages. Nothing is cut while the inode is not smaller than
	// that.
	readUnit = 128 << 10
	// maxClosed is how many closed files are remembered.
	maxClosed = 8192
)

func (n *newest) init() { n.files = make(map[uint64]*shown) }

// opened returns the entry of a file that is open from now on.
func (n *newest) opened(id uint64) *shown {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.files[id]
	if s == nil {
		n.sweep()
		s = &shown{id: id, toldSize: 1}
		n.files[id] = s
	} else if s.open == 0 {
		n.closed--
	}
	s.open++
	s.used = true
	return s
}

// released undoes opened.
func (n *newest) released(s *shown) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.open--; s.open == 0 {
		s.most = 0
		n.closed++
	}
}

// sweep drops entries of closed files if there are too many: those not used since the last time, or else all.
func (n *newest) sweep() {
	if n.closed < maxClosed {
		return
	}
	for _, all := range []bool{false, true} {
		for id, s := range n.files {
			if s.open == 0 && (all || !s.used) {
				delete(n.files, id)
				n.closed--
			}
			s.used = false
		}
		if n.closed <= maxClosed/2 {
			return
		}
	}
}

// held is the kernel's knowledge of a file's attributes.
type held int

const (
	anything held = iota // another server or a dropped entry may have told it anything
	nothing
	toldLast // toldSize and toldTime
)

// notice is the notification that the kernel needs after a run.
type notice int

const (
	noNotice   notice = iota
	invalidate        // its attributes are not right any more
	grow              // its inode is too small for asynchronous reads
)

// ran notes a new run of an open file. shared means that another server works for the mount, too.
func (n *newest) ran(s *shown, size uint64, time int64, shared bool) notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	s.size, s.time = size, time
	if s.most < size || s.open == 1 {
		s.most = size
	}
	if shared {
		s.kernel, s.toldSize = anything, 1
	}
	show := s.shows()
	switch {
	case show > roundUp(s.toldSize, readUnit):
		s.kernel, s.toldSize = nothing, show
		return grow
	case s.kernel == nothing, s.kernel == toldLast && s.toldSize == show && s.toldTime == time:
		return noNotice
	}
	s.kernel = nothing
	return invalidate
}

// found notes a run that another server has made.
func (n *newest) found(s *shown, size uint64, time int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.time <= time {
		s.size, s.time = size, time
	}
	s.most = max(s.most, size)
	s.kernel, s.toldSize = anything, 1
}

// shows returns the size for stat(2). It is the size of the newest run, unless another open file holds one so
// large that the kernel would cut asynchronous reads of it.
func (s *shown) shows() uint64 {
	size := cmp.Or(s.size, noSize)
	if s.most > roundUp(size, readUnit) {
		return s.most
	}
	return size
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

// show fills in the values of stat(2) for a file, and notes that the kernel gets them. It returns false for
// an unknown file.
func (n *newest) show(id uint64, a *fuse.Attr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	a.Size = noSize
	s := n.files[id]
	if s == nil || s.time == 0 {
		return false
	}
	s.used = true
	a.Size = s.shows()
	a.Mtime, a.Mtimensec = uint64(s.time), 0
	s.kernel, s.toldSize, s.toldTime = toldLast, a.Size, s.time
	return true
}

// isOpen reports whether a file is open, as far as this server knows.
func (n *newest) isOpen(id uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.files[id]
	return s != nil && s.open > 0
}
