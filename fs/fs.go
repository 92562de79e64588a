// Package fs shows a hierarchy of cgroups as a FUSE tree with one file per view in every directory.
//
// It knows FUSE and knows no BPF: where the cgroups come from and what a view runs are given to it as a
// [Hierarchy] and a list of [View]. It is a [fuse.RawFileSystem] without an inode table:
//
//   - A node id says what the node is (see node): a directory's is the cgroup's id, a file's is made of the
//     cgroup's id, the view's number and the rendering. So a million cgroups cost no memory, and FORGET has
//     nothing to free.
//   - Only open files have state: the run they hold (see file). What the next server must know of it is kept
//     in a file that outlives this one (see memory and [FS.Inherit]).
//
// Below .bpfview are other renderings of the same views (see [Rendering]), links (see links.go) and files about the
// mount itself (see info).
//
// # What one read does
//
// Names and attributes are valid in the kernel for a second, so the first request is mostly OPEN. It runs the
// view for the cgroup and answers FOPEN_DIRECT_IO: every read(2) and pread(2) then comes here as a READ, and
// is answered from the run that the open file holds; one at offset 0 after the first starts a new run. If the
// run changes what stat(2) shows (see newest), the kernel is told to forget the file's attributes.
//
// Pages are never given out: one inode has the pages of all who read the file, and each of them holds another
// run. A READ for the page cache is EINVAL, after which whoever used splice(2), sendfile(2) or
// copy_file_range(2) reads instead.
//
// # Errors
//
// Every error becomes an errno in one place (see errno), never ENOSYS: one ENOSYS from OPEN makes the kernel stop
// sending OPEN, and every file of the mount reads as empty from then on. The words behind an errno are kept for
// .bpfview/errors.
//
// # Deadlocks that are avoided
//
//   - Invalidating attributes waits for nothing, invalidating pages would wait for READs. Growing an inode
//     takes one page, far behind those that anybody reads. No lock that a handler takes is held while
//     notifying.
//   - A run can take as long as its program, and cannot be stopped inside the kernel. Whoever serves the filesystem
//     must answer an interrupted request in its place: no reader may wait for a program in D state.
//   - Nothing here touches a path of the mount itself.
package fs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Hierarchy is the tree of cgroups that the mount mirrors. A cgroup is named by its id: the inode number of its
// directory in cgroupfs, which is also what BPF programs see.
type Hierarchy interface {
	// Root is the cgroup at the root of the mount.
	Root() uint64
	// Stat describes the directory of a cgroup; unix.ENOENT when the cgroup is gone.
	Stat(id uint64) (unix.Stat_t, error)
	// Child describes the child cgroup name; unix.ENOENT when there is none, unix.ESTALE when id itself is gone.
	Child(id uint64, name string) (unix.Stat_t, error)
	// Children calls add for every child cgroup, in any order; unix.ESTALE when id is gone.
	Children(id uint64, add func(id uint64, name string)) error
	// Path is the path of a cgroup, which begins with that of the root. unix.ENOENT when the cgroup is gone.
	Path(id uint64) (string, error)
	// Of is the cgroup that a thread lives in; unix.ENOENT when it is not below the root.
	Of(thread uint32) (id uint64, err error)
}

// View is a file that every cgroup's directory has, or some have.
type View struct {
	Name    string // [a-z][a-z0-9_]*
	Help    string // one line: what it shows
	Kind    string // "text", "record" or "encoded": what its program writes
	Version int    // of its record; 0 if it has none
	Hash    string // of its record's type; "" if it has none
	Warning string // what is wrong with the view though it is here
	// Mode, UID and GID are permission bits and owner; 0 and nil for the defaults, 0440 and the owner of the cgroup's
	// directory.
	Mode     uint32
	UID, GID *uint32
	// Err says why the view is absent: no file, but a line in .bpfview/views.
	Err error
	// In tells why the view has no file in a cgroup's directory, or nil if it has one. A nil In is a file everywhere.
	// InTree is the same for the files of trees: a view may be in cgroups below, and not in the cgroup itself.
	In, InTree func(cgroup uint64) error
	// Run appends one whole run for a cgroup to dst. It gives an error rather than less than the whole:
	// unix.ENOENT when the cgroup is gone. Many runs may be under way at once.
	Run func(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error)
	// Renderings are the files below .bpfview that the view has, and Render is Run for one of them.
	Renderings []Rendering
	Render     func(ctx context.Context, as Rendering, cgroup uint64, dst []byte) ([]byte, error)
}

// Kernel takes what the filesystem tells the kernel unasked.
type Kernel interface {
	// Invalidate forgets the attributes of a node (FUSE_NOTIFY_INVAL_INODE). It waits for nothing.
	Invalidate(node uint64) error
	// Grow makes the inode of a node at least size bytes long, and forgets its size and times
	// (FUSE_NOTIFY_STORE of the last byte). It waits for READs of the last page, if there are any.
	Grow(node uint64, size uint64) error
}

// Config is what a filesystem is made from. Hierarchy and Kernel are required.
type Config struct {
	Hierarchy Hierarchy
	Kernel    Kernel
	// UID and GID own everything, and Mode is every view file's, where not nil: without them a cgroup's directory
	// and views belong to whom the cgroup's directory belongs.
	UID, GID, Mode *uint32
	// Version is what .bpfview/version says.
	Version string
	// Status adds to .bpfview/status.json what the filesystem does not know itself. It may be nil.
	Status func() any
	// Warnings are what is wrong with the mount's options, a line each, for .bpfview/views and status.json. It may be nil.
	Warnings func() []string
	// Limits bound what readers may make the kernel and the server do.
	Limits Limits
}

// FS is the filesystem. It is served by handing it to a request loop.
type FS struct {
	fuse.RawFileSystem // answers ENOSYS to what is not implemented here: see refused.go

	hierarchy      Hierarchy
	kernel         Kernel
	uid, gid, mode *uint32
	version        string
	status         func() any
	warnings       func() []string
	root           uint64

	views  atomic.Pointer[views]
	viewMu sync.Mutex // serialises SetViews

	memory   *memory
	openers  map[uint64]*record // requesters of OPEN that an earlier server may not have answered; see Begin
	disabled map[int]string

	server  uint64      // which of the mount's servers this is
	alone   atomic.Bool // no earlier one works any more
	leaving atomic.Bool // the next is about to begin

	now      func() int64 // in seconds of Unix time
	newest   newest
	files    openFiles
	dirs     openDirs
	listings listings
	limits   *limiter
	stale    stale
	errors   errorLog
	counts   counts

	metrics *metrics
}

var _ fuse.RawFileSystem = (*FS)(nil)

// cacheTime is for how long the kernel may use names and attributes without asking. A cgroup that was removed
// meanwhile is found out when something below it is asked for (see stale), and owner and mode are never
// older.
const cacheTime = time.Second

// New returns a filesystem without views: SetViews gives it some.
func New(c Config) *FS {
	f := &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		hierarchy:     c.Hierarchy,
		kernel:        c.Kernel,
		uid:           c.UID,
		gid:           c.GID,
		mode:          c.Mode,
		version:       c.Version,
		status:        c.Status,
		warnings:      c.Warnings,
		root:          c.Hierarchy.Root(),
		limits:        newLimiter(c.Limits),
	}
	if f.warnings == nil {
		f.warnings = func() []string { return nil }
	}
	f.memory, _ = openMemory(nil)
	f.alone.Store(true)
	f.now = func() int64 { return time.Now().Unix() }
	f.newest.init()
	f.stale.window = cacheTime
	f.dirs.init()
	f.listings.makers = make(map[node]*maker)
	f.views.Store(&views{})
	f.metrics = newMetrics(f)
	return f
}

// String names the filesystem in go-fuse's messages.
func (f *FS) String() string { return "bpfviewfs" }

// node is what a node id from the kernel stands for: it calls the root 1, whatever its cgroup's id.
// unix.ESTALE: an id that this version does not know.
func (f *FS) node(id uint64) (node, error) {
	if id == fuse.FUSE_ROOT_ID {
		return node{cgroup: f.root}, nil
	}
	return parseNode(id)
}

// StatFs answers statfs(2) with zeros, as cgroupfs does: there is nothing to fill up.
func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: 4096, NameLen: 255}
	return fuse.OK
}
