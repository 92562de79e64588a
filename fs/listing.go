package fs

import (
	"cmp"
	"slices"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// listing is the content of a directory at one moment. It never changes, and open directories share it.
//
// Entries are sorted by their offsets: files first, then child cgroups by id, which is the order of their
// creation. So an offset (telldir, seekdir, the position of an open directory) means the same in every
// listing of the directory.
type listing struct {
	entries []entry
	names   []byte
}

// entry is one name of a listing.
type entry struct {
	off, ino uint64
	at       uint32 // of the name in names
	length   uint8
	kind     uint8 // S_IFDIR and the like, shifted
}

const (
	entrySize    = int64(unsafe.Sizeof(entry{}))
	usualName    = 16   // bytes
	leastListing = 4096 // bytes that are charged for any
	kindShift    = 12
)

func (l *listing) size() int64 {
	return leastListing + int64(cap(l.entries))*entrySize + int64(cap(l.names))
}

func (l *listing) add(name string, mode uint32, off uint64, n node) {
	l.entries = append(l.entries,
		entry{off, n.ino(), uint32(len(l.names)), uint8(len(name)), uint8(mode >> kindShift)})
	l.names = append(l.names, name...)
}

// after calls add for the entries after an offset, until it returns false. Their names are valid as long as
// the listing.
func (l *listing) after(off uint64, add func(fuse.DirEntry) bool) {
	next, _ := slices.BinarySearchFunc(l.entries, off+1, func(e entry, off uint64) int {
		return cmp.Compare(e.off, off)
	})
	for _, e := range l.entries[next:] {
		name := unsafe.String(&l.names[e.at], int(e.length))
		mode := uint32(e.kind) << kindShift
		if !add(fuse.DirEntry{Name: name, Mode: mode, Ino: e.ino, Off: e.off}) {
			return
		}
	}
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

// list lists a directory.
func (f *FS) list(dir node) (*listing, error) {
	st, err := f.hierarchy.Stat(dir.cgroup)
	if err != nil {
		return nil, err
	}
	l := &listing{entries: make([]entry, 0, st.Nlink+32), names: make([]byte, 0, (st.Nlink+32)*usualName)}
	l.add(".", unix.S_IFDIR, offsetDot, dir)
	l.add("..", unix.S_IFDIR, offsetDotDot, node{}) // ls(1) and find(1) look for themselves
	switch {
	case dir.kind == kindCgroup:
		offset := func(number int) uint64 { return offsetFiles + uint64(number) }
		f.listViews(l, dir.cgroup, Plain, offset)
		err = f.listChildren(l, dir.cgroup, kindNone, kindCgroup)
	case dir.number == controlCgroups:
		err = f.listChildren(l, dir.cgroup, kindCgroup, kindLink)
	case dir.number == controlTop:
		f.listControl(l, dir.cgroup)
	default:
		for r := range Rendering(len(renderings)) {
			if renderings[r].dir == controlDirs[dir.number] {
				offset := func(number int) uint64 { return offsetRendering(r, number) }
				f.listViews(l, dir.cgroup, r, offset)
			}
		}
	}
	slices.SortFunc(l.entries, func(a, b entry) int { return cmp.Compare(a.off, b.off) })
	return l, err
}

// listViews adds the files of all views in one rendering.
func (f *FS) listViews(l *listing, cgroup uint64, as Rendering, off func(number int) uint64) {
	views := f.views.Load()
	for name, number := range views.numbers {
		if v := views.byName[name]; v.has(as) && v.isIn(cgroup, as) {
			l.add(as.fileName(name), unix.S_IFREG, off(number), viewNode(cgroup, number, as))
		}
	}
}

// listChildren adds the child cgroups. The kind is taken if the name is used by a view or .bpfview, else
// free.
func (f *FS) listChildren(l *listing, cgroup uint64, taken, free kind) error {
	views := f.views.Load()
	return f.hierarchy.Children(cgroup, func(id uint64, name string) {
		k := free
		if views.takes(cgroup, name) {
			k = taken
		}
		switch k {
		case kindCgroup:
			l.add(name, unix.S_IFDIR, offsetCgroups+id, node{cgroup: id})
		case kindLink:
			l.add(name, unix.S_IFLNK, offsetCgroups+id, node{cgroup: id, kind: kindLink})
		}
	})
}

// listControl adds the entries of .bpfview.
func (f *FS) listControl(l *listing, cgroup uint64) {
	if cgroup == f.root {
		l.add(selfName, unix.S_IFLNK, offsetSelf, node{cgroup: cgroup, kind: kindSelf})
	}
	for i, name := range controlDirs[1:] {
		l.add(name, unix.S_IFDIR, offsetControls+uint64(i), node{cgroup, kindControl, i + 1})
	}
	for i, info := range infos {
		if f.hasInfo(cgroup, info) {
			l.add(info.name, unix.S_IFREG, offsetFiles+uint64(i), node{cgroup, kindInfo, i})
		}
	}
}

// listings shares a listing among requests that come at the same time.
type listings struct {
	mu     sync.Mutex
	makers map[node]*maker
}

// maker makes the listings of one directory, one after another.
type maker struct {
	// Under listings.mu:
	users int // requests that wait for a listing
	begun int // listings

	mu   sync.Mutex // held while a listing is made
	last *listing
	err  error
	made int // the number of last
}

// get returns a listing that was begun after the call, so that it has every cgroup that the caller may have
// made before. A caller that comes while one is being made gets the next one.
func (l *listings) get(dir node, list func(node) (*listing, error)) (*listing, error) {
	l.mu.Lock()
	m := l.makers[dir]
	if m == nil {
		m = &maker{}
		l.makers[dir] = m
	}
	m.users++
	next := m.begun + 1
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if m.users--; m.users == 0 {
			delete(l.makers, dir)
		}
	}()

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made < next {
		l.mu.Lock()
		m.begun++
		begun := m.begun
		l.mu.Unlock()
		m.last, m.err = list(dir)
		m.made = begun
	}
	return m.last, m.err
}
