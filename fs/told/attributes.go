// Package told knows the answers that the kernel holds: the attributes of files, and names of cgroups that are
// gone.
package told

import (
	"cmp"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Attributes are the size and time of each file's newest run, the values of stat(2), and the values that the
// kernel was told. The kernel holds attributes for a second. So a run that changes them must invalidate
// them, and a run that does not must cost nothing.
//
// A file without an entry has size NoSize and its cgroup's times. Opening it always tells the kernel to
// forget. So entries can be dropped at any time, and a walk over a million files leaves none behind. Entries
// of closed files are dropped when there are many.
type Attributes struct {
	mu     sync.Mutex
	files  map[uint64]*File // by node id
	closed int              // entries of files that are not open
}

// File holds the values of stat(2) for one file. All but ID is protected by Attributes.mu.
type File struct {
	ID   uint64 // of its node
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
	// NoSize is shown before the first run and for an empty one, as in sysfs. The size must never be 0:
	// splice(2) and sendfile(2) take that for the end of the file, while a READ of the page cache gives
	// EINVAL.
	NoSize = 4096
	// ReadUnit is the least that the kernel rounds the size up to before it cuts an asynchronous read
	// (fuse_direct_IO in fs/fuse/file.c): 32 pages. Nothing is cut while the inode is not smaller than
	// that.
	ReadUnit = 128 << 10
	// MaxClosed is how many closed files are remembered.
	MaxClosed = 8192
)

// NewAttributes knows no file.
func NewAttributes() *Attributes { return &Attributes{files: make(map[uint64]*File)} }

// Opened returns the entry of a file that is open from now on.
func (a *Attributes) Opened(id uint64) *File {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.files[id]
	if s == nil {
		a.sweep()
		s = &File{ID: id, toldSize: 1}
		a.files[id] = s
	} else if s.open == 0 {
		a.closed--
	}
	s.open++
	s.used = true
	return s
}

// Released undoes Opened.
func (a *Attributes) Released(s *File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.open--; s.open == 0 {
		s.most = 0
		a.closed++
	}
}

// sweep drops entries of closed files if there are too many: those not used since the last time, or else all.
func (a *Attributes) sweep() {
	if a.closed < MaxClosed {
		return
	}
	for _, all := range []bool{false, true} {
		for id, s := range a.files {
			if s.open == 0 && (all || !s.used) {
				delete(a.files, id)
				a.closed--
			}
			s.used = false
		}
		if a.closed <= MaxClosed/2 {
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

// Notice is the notification that the kernel needs after a run.
type Notice int

// Notices.
const (
	None       Notice = iota
	Invalidate        // its attributes are not right any more
	Grow              // its inode is too small for asynchronous reads
)

// Ran notes a new run of an open file. shared means that another server works for the mount, too.
func (a *Attributes) Ran(s *File, size uint64, time int64, shared bool) Notice {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.size, s.time = size, time
	if s.most < size || s.open == 1 {
		s.most = size
	}
	if shared {
		s.kernel, s.toldSize = anything, 1
	}
	show := s.shows()
	switch {
	case show > roundUp(s.toldSize, ReadUnit):
		s.kernel, s.toldSize = nothing, show
		return Grow
	case s.kernel == nothing, s.kernel == toldLast && s.toldSize == show && s.toldTime == time:
		return None
	}
	s.kernel = nothing
	return Invalidate
}

// Found notes a run that another server has made.
func (a *Attributes) Found(s *File, size uint64, time int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.time <= time {
		s.size, s.time = size, time
	}
	s.most = max(s.most, size)
	s.kernel, s.toldSize = anything, 1
}

// Count returns how many files are remembered, and how many opens of them have not been released.
func (a *Attributes) Count() (files, open int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.files {
		open += s.open
	}
	return len(a.files), open
}

// shows returns the size for stat(2). It is the size of the newest run, unless another open file holds one so
// large that the kernel would cut asynchronous reads of it.
func (s *File) shows() uint64 {
	size := cmp.Or(s.size, NoSize)
	if s.most > roundUp(size, ReadUnit) {
		return s.most
	}
	return size
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }

// setSize also sets the blocks of 512 bytes. A file with less room than its size has holes, and tar --sparse
// writes zeros for a file without any blocks, and does not read it.
func setSize(attr *fuse.Attr, size uint64) {
	attr.Size, attr.Blocks = size, (size+511)/512
}

// Show fills in the values of stat(2) for a file, and notes that the kernel gets them. It returns false for
// an unknown file.
func (a *Attributes) Show(id uint64, attr *fuse.Attr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	setSize(attr, NoSize)
	s := a.files[id]
	if s == nil || s.time == 0 {
		return false
	}
	s.used = true
	setSize(attr, s.shows())
	attr.Mtime, attr.Mtimensec = uint64(s.time), 0
	s.kernel, s.toldSize, s.toldTime = toldLast, attr.Size, s.time
	return true
}

// IsOpen reports whether a file is open, as far as this server knows.
func (a *Attributes) IsOpen(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.files[id]
	return s != nil && s.open > 0
}
