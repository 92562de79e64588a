package fs

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// listing is the content of a directory at one moment. It never changes, and open directories share it.
//
// Entries are sorted by their offsets: files first, then child cgroups by id, which is the order of their
// creation. So an offset (telldir, seekdir, the position of an open directory) means the same in every
// listing of the directory.
//
// A listing shares the chunks that are equal with the listing before it. So many readers of a large directory
// that changes hold little more than one.
type listing struct {
	chunks []*chunk
	size   int64 // of all chunks, in bytes
}

// chunk is a part of a listing. An entry alone decides whether it is the last of its chunk, so a new cgroup
// or a removed one changes one chunk, or two.
type chunk struct {
	entries []entry
	names   []byte
}

// entry is one name of a listing.
type entry struct {
	off, ino uint64
	at       uint32 // of the name in the chunk's names
	length   uint8
	kind     uint8 // S_IFDIR and the like, shifted
}

const (
	entrySize    = int64(unsafe.Sizeof(entry{}))
	usualName    = 16   // bytes
	leastListing = 4096 // bytes that are charged for any
	kindShift    = 12
)

// endsChunk is true for one entry of 128. The factor is 2^64 divided by the golden ratio (Fibonacci hashing).
func (e *entry) endsChunk() bool { return e.off*0x9e3779b97f4a7c15>>57 == 0 }

func (e *entry) name(names []byte) []byte { return names[e.at:][:e.length] }

func compareOffset(e entry, off uint64) int { return cmp.Compare(e.off, off) }

// after calls add for the entries after an offset, until it returns false. Their names are valid as long as
// the listing.
func (l *listing) after(off uint64, add func(fuse.DirEntry) bool) {
	first, _ := slices.BinarySearchFunc(l.chunks, off+1, func(c *chunk, off uint64) int {
		return compareOffset(c.entries[len(c.entries)-1], off)
	})
	for _, c := range l.chunks[first:] {
		next, _ := slices.BinarySearchFunc(c.entries, off+1, compareOffset)
		for _, e := range c.entries[next:] {
			name := unsafe.String(&c.names[e.at], int(e.length))
			mode := uint32(e.kind) << kindShift
			if !add(fuse.DirEntry{Name: name, Mode: mode, Ino: e.ino, Off: e.off}) {
				return
			}
		}
	}
}

// draft collects a listing. A draft that is used again allocates only its growth.
type draft struct {
	entries []entry
	names   []byte
	chunk   chunk // the one that finish looks at
}

var drafts = sync.Pool{New: func() any { return new(draft) }}

func (d *draft) add(name string, mode uint32, off uint64, n node) {
	d.entries = append(d.entries,
		entry{off, n.ino(), uint32(len(d.names)), uint8(len(name)), uint8(mode >> kindShift)})
	d.names = append(d.names, name...)
}

// finish makes the listing. last is an earlier one of the same directory, or nil.
func (d *draft) finish(last *listing) *listing {
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.off, b.off) })
	var before []*chunk
	if last != nil {
		before = last.chunks
	}
	l := &listing{size: leastListing}
	c := &d.chunk
	c.entries, c.names = c.entries[:0], c.names[:0]
	for i, e := range d.entries {
		name := e.name(d.names)
		e.at = uint32(len(c.names))
		c.entries, c.names = append(c.entries, e), append(c.names, name...)
		if !e.endsChunk() && i < len(d.entries)-1 {
			continue
		}
		for len(before) > 0 && before[0].entries[0].off < c.entries[0].off {
			before = before[1:]
		}
		if len(before) > 0 && before[0].equals(c) {
			l.chunks = append(l.chunks, before[0])
		} else {
			l.chunks = append(l.chunks, &chunk{slices.Clone(c.entries), slices.Clone(c.names)})
		}
		l.size += int64(len(c.entries))*entrySize + int64(len(c.names))
		c.entries, c.names = c.entries[:0], c.names[:0]
	}
	return l
}

func (c *chunk) equals(other *chunk) bool {
	return slices.Equal(c.entries, other.entries) && bytes.Equal(c.names, other.names)
}

// Offsets of entries: "." and ".." first, then files by their numbers, then cgroups by id.
const (
	offsetDot = 1 + iota
	offsetDotDot
	offsetControls
	offsetSelf    = 1<<8 - 1
	offsetFiles   = 1 << 8
	offsetCgroups = 1 << 20
)

// offsetRendering is past the offsets of views, because a directory of renderings has no child cgroups.
func offsetRendering(r Rendering, number int) uint64 {
	return uint64(r)<<numberBits + uint64(number) + offsetFiles
}

// list lists a directory. last is an earlier listing of it, or nil.
func (f *FS) list(dir node, last *listing) (_ *listing, err error) {
	d := drafts.Get().(*draft)
	defer drafts.Put(d)
	d.entries, d.names = d.entries[:0], d.names[:0]
	d.add(".", unix.S_IFDIR, offsetDot, dir)
	d.add("..", unix.S_IFDIR, offsetDotDot, node{}) // ls(1) and find(1) look for themselves
	switch {
	case dir.kind == kindCgroup:
		offset := func(number int) uint64 { return offsetFiles + uint64(number) }
		f.listViews(d, dir.cgroup, Plain, offset)
		err = f.listChildren(d, dir.cgroup, kindNone, kindCgroup)
	case dir.number == controlCgroups:
		err = f.listChildren(d, dir.cgroup, kindCgroup, kindLink)
	case dir.number == controlTop:
		f.listControl(d, dir.cgroup)
	default:
		for r := range Rendering(len(renderings)) {
			if renderings[r].dir == controlDirs[dir.number] {
				offset := func(number int) uint64 { return offsetRendering(r, number) }
				f.listViews(d, dir.cgroup, r, offset)
			}
		}
	}
	return d.finish(last), err
}

// listViews adds the files of all views in one rendering.
func (f *FS) listViews(d *draft, cgroup uint64, as Rendering, off func(number int) uint64) {
	views := f.views.Load()
	for name, number := range views.numbers {
		if v := views.byName[name]; v.has(as) && v.isIn(cgroup, as) {
			d.add(as.fileName(name), unix.S_IFREG, off(number), viewNode(cgroup, number, as))
		}
	}
}

// listChildren adds the child cgroups. The kind is taken if the name is used by a view or .bpfview, else
// free.
func (f *FS) listChildren(d *draft, cgroup uint64, taken, free kind) error {
	views := f.views.Load()
	return f.hierarchy.Children(cgroup, func(id uint64, name string) {
		k := free
		if views.takes(cgroup, name) {
			k = taken
		}
		switch k {
		case kindCgroup:
			d.add(name, unix.S_IFDIR, offsetCgroups+id, node{cgroup: id})
		case kindLink:
			d.add(name, unix.S_IFLNK, offsetCgroups+id, node{cgroup: id, kind: kindLink})
		}
	})
}

// listControl adds the entries of .bpfview.
func (f *FS) listControl(d *draft, cgroup uint64) {
	if cgroup == f.root {
		d.add(selfName, unix.S_IFLNK, offsetSelf, node{cgroup: cgroup, kind: kindSelf})
	}
	for i, name := range controlDirs[1:] {
		d.add(name, unix.S_IFDIR, offsetControls+uint64(i), node{cgroup, kindControl, i + 1})
	}
	for i, info := range infos {
		if f.hasInfo(cgroup, info) {
			d.add(info.name, unix.S_IFREG, offsetFiles+uint64(i), node{cgroup, kindInfo, i})
		}
	}
}

// listings shares listings among the open directories of one node.
type listings struct {
	mu     sync.Mutex
	makers map[node]*maker
}

// maker makes the listings of one directory, one after another.
type maker struct {
	node  node
	users int // open directories, under listings.mu

	begun   atomic.Int64 // listings
	waiting atomic.Int64 // calls of get

	mu     sync.Mutex // held while a listing is made
	made   int64      // the number of the last listing
	last   weak.Pointer[listing]
	result *listing // the last one while somebody may still wait for it
	err    error
}

// open returns the maker of an open directory. Call close afterwards.
func (l *listings) open(dir node) *maker {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.makers[dir]
	if m == nil {
		m = &maker{node: dir}
		l.makers[dir] = m
	}
	m.users++
	return m
}

func (l *listings) close(m *maker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.users--; m.users == 0 {
		delete(l.makers, m.node)
	}
}

// get returns a listing that was begun after the call, so that it has every cgroup that the caller may have
// made before. A caller that comes while one is being made gets the next one.
func (m *maker) get(list func(_ node, last *listing) (*listing, error)) (*listing, error) {
	m.waiting.Add(1) // first: who is counted finds the result
	next := m.begun.Load() + 1
	m.mu.Lock()
	defer func() {
		if m.waiting.Add(-1) == 0 {
			m.result = nil
		}
		m.mu.Unlock()
	}()
	if m.made < next {
		m.made = m.begun.Add(1)
		m.result, m.err = list(m.node, m.last.Value())
		m.last = weak.Make(m.result)
	}
	return m.result, m.err
}
