// Package fs shows a hierarchy of cgroups as a FUSE tree with one file per view in every directory.
//
// It knows FUSE and knows no BPF: its caller passes the cgroups as a [Hierarchy] and the views as a list of
// [View]. It is a [fuse.RawFileSystem] without an inode table:
//
//   - A node id describes its node (see node). The id of a directory is the cgroup's id. The id of a file is
//     made of the cgroup's id, the view's number and the rendering. So a million cgroups cost no memory, and
//     FORGET frees nothing.
//   - Only open files have state: the run they hold (see file). The part that the next server needs is in a
//     file that outlives this one (see openfiles and [FS.Inherit]).
//
// Below .bpfview are other renderings of the same views (see [Rendering]), links (see links.go) and files
// about the mount itself (see info).
//
// # The requests of one read
//
// Names and attributes are valid in the kernel for a second, so the first request is mostly OPEN. It runs the
// view for the cgroup and answers FOPEN_DIRECT_IO, so that every read(2) and pread(2) becomes a READ. A READ
// is answered from the run that the open file holds; one at offset 0 after the first starts a new run. If the
// run changes the result of stat(2) (see [told.Attributes]), the kernel is told to forget the file's attributes.
//
// No page is ever given out, because all readers share the pages of an inode and each of them holds another
// run. A READ for the page cache is EINVAL. Callers of splice(2), sendfile(2) or copy_file_range(2) then read
// instead. Kernels that read pages through iomap (7.3) give these callers EIO, on which fewer of them read.
//
// # Errors
//
// Every error becomes an errno in one place (see errno), never ENOSYS. After one ENOSYS from OPEN the kernel
// stops sending OPEN, and every file of the mount reads as empty. The text of each error is kept for
// .bpfview/errors.
//
// # Avoided deadlocks
//
//   - Invalidating attributes waits for nothing; invalidating pages would wait for READs. Growing an inode
//     takes one page, far behind all pages that are read. A handler holds no lock of its own while it
//     notifies.
//   - A run takes as long as its program, and cannot be stopped inside the kernel. The request loop must
//     answer an interrupted request itself, so that no reader waits for a program in D state.
//   - Nothing here touches a path of the mount itself.
package fs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"bpfviewfs/fs/errorlog"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/openfiles"
	"bpfviewfs/fs/told"
	"bpfviewfs/internal/panics"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Hierarchy is the tree of cgroups that the mount mirrors. A cgroup is named by its id, the inode number of
// its directory in cgroupfs. BPF programs see the same id.
type Hierarchy interface {
	// Root returns the cgroup at the root of the mount.
	Root() uint64
	// Stat describes the directory of a cgroup; unix.ENOENT if the cgroup is gone.
	Stat(id uint64) (unix.Stat_t, error)
	// Child describes the child cgroup name; unix.ENOENT if there is none, unix.ESTALE if id itself is
	// gone.
	Child(id uint64, name string) (unix.Stat_t, error)
	// Children calls add for every child cgroup, in any order; unix.ESTALE if id is gone.
	Children(id uint64, add func(id uint64, name string)) error
	// Path returns the path of a cgroup, which begins with the path of the root; unix.ENOENT if the
	// cgroup is gone.
	Path(id uint64) (string, error)
	// Of returns the cgroup of a thread; unix.ENOENT if it is not below the root.
	Of(thread uint32) (id uint64, err error)
}

// View is a file in the directories of all cgroups, or of some.
type View struct {
	Name    string // [a-z][a-z0-9_]*
	Help    string // one line about its content
	Kind    string // "text", "record" or "encoded": the output of its program
	Version int    // of its record; 0 if it has none
	Hash    string // of its record's type; "" if it has none
	Warning string // a fault of the view that does not keep it away
	// Mode, UID and GID are permission bits and owner; 0 and nil for the defaults, 0440 and the owner of
	// the cgroup's directory.
	Mode     uint32
	UID, GID *uint32
	// Err is the reason why the view is absent. An absent view has a line in .bpfview/views and no file.
	// Off says that the view is absent only because it is not enabled.
	Err error
	Off bool
	// In returns the reason why the view has no file in a cgroup's directory, nil if it has one. A nil In
	// means a file everywhere. InTree is the same for the files of trees: a view may be in cgroups below
	// and not in the cgroup itself.
	In, InTree func(cgroup uint64) error
	// Run appends one whole run for a cgroup to dst. An incomplete run is an error: unix.ENOENT if the
	// cgroup is gone. Many runs may be under way at once.
	Run func(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error)
	// Renderings are the files below .bpfview that the view has, and Render is Run for one of them.
	// Cgroups that the reader's rights do not let it reach from this one are not in a tree.
	Renderings []Rendering
	// Apart is the reason why the view cannot be in a union, with unix.ENOENT; nil if it can.
	Apart  error
	Render func(ctx context.Context, as Rendering, cgroup uint64, rights Rights, dst []byte) ([]byte, error)
}

// Kernel takes notifications to the kernel.
type Kernel interface {
	// Invalidate forgets the attributes of a node (FUSE_NOTIFY_INVAL_INODE). It waits for nothing.
	Invalidate(node uint64) error
	// Grow makes the inode of a node at least size bytes long, and forgets its size and times
	// (FUSE_NOTIFY_STORE of the last byte). It waits for READs of the last page, if there are any.
	Grow(node uint64, size uint64) error
}

// Config holds the arguments of New. Hierarchy and Kernel are required.
type Config struct {
	Hierarchy Hierarchy
	Kernel    Kernel
	// UID and GID own everything, and Mode is the mode of every view file. If nil, a cgroup's directory
	// and views have the owner of the cgroup's directory.
	UID, GID, Mode *uint32
	// Version is the content of .bpfview/version.
	Version string
	// Status adds values to .bpfview/status.json that the filesystem does not know itself. It may be nil.
	Status func() any
	// Warnings are faults of the mount's options, a line each, for .bpfview/views and status.json. It may
	// be nil.
	Warnings func() []string
	// Union is Run for several views at one time: for each cgroup they run one right after the other, in
	// their order. Without it there are no unions.
	Union func(ctx context.Context, views []string, as Rendering, cgroup uint64, rights Rights,
		dst []byte) ([]byte, error)
	// Limits bound the work that readers can cause.
	Limits limits.Limits
	// Logf takes the first panic at each place, with its stack. It may be nil.
	Logf func(format string, args ...any)
}

// FS is the filesystem. Pass it to a request loop.
type FS struct {
	fuse.RawFileSystem // answers ENOSYS to all other requests, see refused.go

	hierarchy      Hierarchy
	kernel         Kernel
	uid, gid, mode *uint32
	version        string
	status         func() any
	warnings       func() []string
	logf           func(format string, args ...any)
	panics         panics.Log
	union          func(context.Context, []string, Rendering, uint64, Rights, []byte) ([]byte, error)
	root           uint64

	views  atomic.Pointer[views]
	viewMu sync.Mutex // serialises SetViews

	memory   *openfiles.Memory
	openers  atomic.Pointer[map[uint64]*openfiles.Entry] // see noteOpeners
	disabled map[int]string

	server  uint64      // the number of this server among the mount's servers
	alone   atomic.Bool // every earlier server has ended
	leaving atomic.Bool // the next is about to begin

	now      func() int64 // in seconds of Unix time
	newest   *told.Attributes
	files    openFiles
	dirs     openDirs
	listings listings
	limits   *limits.Limiter
	stale    *told.Stale
	errors   errorlog.Log
	counts   counts

	metrics *metrics
}

var _ fuse.RawFileSystem = (*FS)(nil)

// cacheTime is how long the kernel may use names and attributes without asking. A removed cgroup is detected
// by the next request for something below it (see [told.Stale]). Owner and mode are never older.
const cacheTime = time.Second

// New returns a filesystem without views. SetViews adds them.
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
		union:         c.Union,
		logf:          c.Logf,
		root:          c.Hierarchy.Root(),
		limits:        limits.New(c.Limits, openfiles.Entries-1),
	}
	if f.warnings == nil {
		f.warnings = func() []string { return nil }
	}
	f.memory, _ = openfiles.Open(nil)
	f.noteOpeners()
	f.alone.Store(true)
	f.now = func() int64 { return time.Now().Unix() }
	f.newest = told.NewAttributes()
	f.stale = told.NewStale(cacheTime)
	f.dirs.init()
	f.listings.makers = make(map[node]*maker)
	f.views.Store(&views{})
	f.metrics = newMetrics(f)
	return f
}

// String names the filesystem in go-fuse's messages.
func (f *FS) String() string { return "bpfviewfs" }

// node returns the node of an id from the kernel, which calls the root 1 whatever its cgroup's id.
// unix.ESTALE means an id that this version does not know.
func (f *FS) node(id uint64) (node, error) {
	if id == fuse.FUSE_ROOT_ID {
		return node{cgroup: f.root}, nil
	}
	return parseNode(id)
}

// StatFs answers statfs(2) with zeros, as cgroupfs does, because nothing can fill up.
func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	*out = fuse.StatfsOut{Bsize: 4096, NameLen: 255}
	return fuse.OK
}

// SetTotal sets how many bytes the open files and directories of all users may hold. Bytes already held stay.
func (f *FS) SetTotal(bytes int64) {
	f.limits.SetTotal(bytes)
	f.memory.SetTotal(bytes)
}
