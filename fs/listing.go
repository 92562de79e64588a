package fs

import (
	"sync"
	"sync/atomic"
	"weak"

	"bpfviewfs/fs/listing"
	"golang.org/x/sys/unix"
)

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
func (f *FS) list(dir node, last *listing.Listing) (_ *listing.Listing, err error) {
	d := listing.Begin()
	defer d.End()
	d.Add(".", unix.S_IFDIR, offsetDot, dir.ino())
	d.Add("..", unix.S_IFDIR, offsetDotDot, node{}.ino()) // ls(1) and find(1) look for themselves
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
	return d.Finish(last), err
}

// listViews adds the files of all views in one rendering.
func (f *FS) listViews(d *listing.Draft, cgroup uint64, as Rendering, off func(number int) uint64) {
	views := f.views.Load()
	for name, number := range views.numbers {
		if v := views.byName[name]; v.has(as) && v.isIn(cgroup, as) {
			d.Add(as.fileName(name), unix.S_IFREG, off(number), viewNode(cgroup, number, as).ino())
		}
	}
}

// listChildren adds the child cgroups. The kind is taken if the name is used by a view or .bpfview, else
// free.
func (f *FS) listChildren(d *listing.Draft, cgroup uint64, taken, free kind) error {
	views := f.views.Load()
	return f.hierarchy.Children(cgroup, func(id uint64, name string) {
		k := free
		if views.shadows(cgroup, name) {
			k = taken
		}
		switch k {
		case kindCgroup:
			d.Add(name, unix.S_IFDIR, offsetCgroups+id, node{cgroup: id}.ino())
		case kindLink:
			d.Add(name, unix.S_IFLNK, offsetCgroups+id, node{cgroup: id, kind: kindLink}.ino())
		}
	})
}

// listControl adds the entries of .bpfview.
func (f *FS) listControl(d *listing.Draft, cgroup uint64) {
	if cgroup == f.root {
		d.Add(selfName, unix.S_IFLNK, offsetSelf, node{cgroup: cgroup, kind: kindSelf}.ino())
	}
	for i, name := range controlDirs[1:] {
		d.Add(name, unix.S_IFDIR, offsetControls+uint64(i), node{cgroup, kindControl, i + 1}.ino())
	}
	for i, info := range infos {
		if f.hasInfo(cgroup, info) {
			d.Add(info.name, unix.S_IFREG, offsetFiles+uint64(i), node{cgroup, kindInfo, i}.ino())
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
	last   weak.Pointer[listing.Listing]
	result *listing.Listing // the last one while somebody may still wait for it
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
func (m *maker) get(list func(_ node, last *listing.Listing) (*listing.Listing, error)) (*listing.Listing, error) {
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
