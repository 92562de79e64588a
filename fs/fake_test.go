package fs

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// tree is a Hierarchy in memory.
type tree struct {
	mu     sync.Mutex
	last   uint64
	groups map[uint64]*group
}

type group struct {
	name     string
	parent   uint64
	uid      uint32
	mode     uint32 // 0755 if it is 0
	children map[string]uint64
}

const rootID = 7 // as for a cgroup inside a hierarchy; the kernel calls it 1 all the same

func newTree() *tree {
	return &tree{last: rootID, groups: map[uint64]*group{rootID: {name: "/", children: map[string]uint64{}}}}
}

func (t *tree) mkdir(parent uint64, name string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.groups[t.last] = &group{name: name, parent: parent, children: map[string]uint64{}}
	t.groups[parent].children[name] = t.last
	return t.last
}

func (t *tree) rmdir(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[id]
	delete(t.groups[g.parent].children, g.name)
	delete(t.groups, id)
}

func (t *tree) Root() uint64 { return rootID }

func (t *tree) stat(id uint64) (unix.Stat_t, error) {
	g := t.groups[id]
	if g == nil {
		return unix.Stat_t{}, fmt.Errorf("cgroup %d: %w", id, unix.ENOENT)
	}
	return unix.Stat_t{Ino: id, Uid: g.uid, Gid: g.uid, Mode: unix.S_IFDIR | cmp.Or(g.mode, 0o755), Nlink: 2 + uint64(len(g.children))}, nil
}

func (t *tree) Stat(id uint64) (unix.Stat_t, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stat(id)
}

func (t *tree) Child(id uint64, name string) (unix.Stat_t, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[id]
	if g == nil {
		return unix.Stat_t{}, fmt.Errorf("cgroup %d: %w", id, unix.ESTALE)
	}
	return t.stat(g.children[name])
}

func (t *tree) Children(id uint64, add func(uint64, string)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[id]
	if g == nil {
		return unix.ESTALE
	}
	for name, child := range g.children {
		add(child, name)
	}
	return nil
}

func (t *tree) Path(id uint64) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[id]
	if g == nil {
		return "", unix.ENOENT
	}
	p := "/"
	for ; id != rootID; id, g = g.parent, t.groups[g.parent] {
		p = path.Join("/", g.name, p)
	}
	return p, nil
}

// Of has thread 1000+N live in cgroup N.
func (t *tree) Of(thread uint32) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id := uint64(thread) - 1000; t.groups[id] != nil {
		return id, nil
	}
	return 0, unix.ENOENT
}

// attributes are the kernel's cached attributes of a node, and the size of its inode.
type attributes struct {
	size, mtime uint64
	valid       bool
	inode       uint64
}

// kernel caches attributes as the kernel does, for ever, and counts notifications and requests.
type kernel struct {
	mu                                    sync.Mutex
	nodes                                 map[uint64]attributes
	invalidated, grown, lookups, getattrs int
}

func (k *kernel) Invalidate(id uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.nodes[id]
	a.valid = false
	k.nodes[id] = a
	k.invalidated++
	return nil
}

func (k *kernel) Grow(id uint64, size uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.nodes[id]
	a.valid, a.inode = false, max(a.inode, size)
	k.nodes[id] = a
	k.grown++
	return nil
}

// told notes the attributes of a reply.
func (k *kernel) told(id uint64, a fuse.Attr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodes[id] = attributes{size: a.Size, mtime: a.Mtime, valid: true, inode: a.Size}
}

// mount is a filesystem with a made-up hierarchy, kernel and reader.
type mount struct {
	*FS
	t      *testing.T
	tree   *tree
	kernel *kernel
	thread uint32
	uid    uint32

	lasting *os.File // its memory of open files, if the next server gets that
}

func newMount(t *testing.T, c Config, views ...View) *mount {
	t.Helper()
	m := &mount{t: t, tree: newTree(), kernel: &kernel{nodes: map[uint64]attributes{}}, thread: 100}
	c.Hierarchy, c.Kernel, c.Version = m.tree, m.kernel, "test"
	m.FS = New(c)
	if err := m.SetViews(views); err != nil {
		t.Fatal(err)
	}
	return m
}

var uniques atomic.Uint64

func (m *mount) header(id uint64) fuse.InHeader {
	return fuse.InHeader{NodeId: id, Unique: uniques.Add(2), Caller: fuse.Caller{Pid: m.thread, Owner: fuse.Owner{Uid: m.uid}}}
}

// walk looks a path up from the root, once.
func (m *mount) walk(names ...string) (fuse.EntryOut, fuse.Status) {
	out := fuse.EntryOut{NodeId: fuse.FUSE_ROOT_ID}
	for _, name := range names {
		h := m.header(out.NodeId)
		out = fuse.EntryOut{}
		m.kernel.lookups++
		if st := m.Lookup(nil, &h, name, &out); !st.Ok() {
			return out, st
		}
		if out.AttrValid > 0 {
			m.kernel.told(out.NodeId, out.Attr)
		}
	}
	return out, fuse.OK
}

func (m *mount) open(names ...string) *openFile {
	m.t.Helper()
	out, st := m.walk(names...)
	if !st.Ok() {
		m.t.Fatalf("%v: %v", names, st)
	}
	f, st := m.openNode(out.NodeId)
	if !st.Ok() {
		m.t.Fatalf("open %v: %v", names, st)
	}
	return f
}

func (m *mount) openNode(id uint64) (*openFile, fuse.Status) {
	var out fuse.OpenOut
	st := m.Open(nil, &fuse.OpenIn{InHeader: m.header(id)}, &out)
	return &openFile{m, id, out.Fh}, st
}

type openFile struct {
	m  *mount
	id uint64
	fh uint64
}

func (f *openFile) pread(off uint64, size int) (string, fuse.Status) {
	return f.read(off, size, fuse.READ_LOCKOWNER, nil)
}

func (f *openFile) read(off uint64, size int, flags uint32, cancel chan struct{}) (string, fuse.Status) {
	in := &fuse.ReadIn{InHeader: f.m.header(f.id), Fh: f.fh, Offset: off, Size: uint32(size), ReadFlags: flags}
	res, st := f.m.Read(cancel, in, make([]byte, size))
	if !st.Ok() {
		return "", st
	}
	defer res.Done()
	b, st := res.Bytes(nil)
	return string(b), st
}

// size returns the size that fstat(2) would show.
func (f *openFile) size() uint64 {
	f.m.kernel.mu.Lock()
	cached := f.m.kernel.nodes[f.id]
	f.m.kernel.mu.Unlock()
	if cached.valid {
		return cached.size
	}
	f.m.kernel.getattrs++
	var out fuse.AttrOut
	if st := f.m.GetAttr(nil, &fuse.GetAttrIn{InHeader: f.m.header(f.id)}, &out); !st.Ok() {
		f.m.t.Fatalf("getattr: %v", st)
	}
	f.m.kernel.told(f.id, out.Attr)
	return out.Size
}

func (f *openFile) close() {
	f.m.Release(nil, &fuse.ReleaseIn{InHeader: f.m.header(f.id), Fh: f.fh})
}

// list reads a whole directory, in replies of size bytes.
func (m *mount) list(id uint64, size int) []string {
	m.t.Helper()
	var out fuse.OpenOut
	if st := m.OpenDir(nil, &fuse.OpenIn{InHeader: m.header(id)}, &out); !st.Ok() {
		m.t.Fatalf("opendir: %v", st)
	}
	defer m.ReleaseDir(&fuse.ReleaseIn{Fh: out.Fh})
	var names []string
	for off := uint64(0); ; {
		l := fuse.NewDirEntryList(make([]byte, size), off)
		if st := m.ReadDir(nil, &fuse.ReadIn{InHeader: m.header(id), Fh: out.Fh, Offset: off}, l); !st.Ok() {
			m.t.Fatalf("readdir: %v", st)
		}
		entries := l.Bytes()
		if len(entries) == 0 {
			return names
		}
		for len(entries) > 0 {
			n := int(uint32(entries[16]) | uint32(entries[17])<<8)
			names = append(names, string(entries[24:24+n]))
			entries = entries[(24+n+7)&^7:]
		}
		off = l.Offset
	}
}

// left returns how much a mount holds for open files and directories.
func (m *mount) left() int {
	open := int(m.files.count.Load()) + m.limits.Sum().Uses
	_, more := m.newest.Count()
	return open + more + len(m.listings.makers)
}

// text is a view with the same output for every run.
func text(name, content string) View {
	return View{Name: name, Kind: "text", Help: "a view", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		return append(dst, content...), nil
	}}
}

// counting is a view with the output content(n) for its n-th run.
func counting(name string, content func(n int) string) View {
	var mu sync.Mutex
	n := 0
	return View{Name: name, Kind: "text", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return append(dst, content(n)...), nil
	}}
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }
