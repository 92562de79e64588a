package fs

import (
	"cmp"
	"slices"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// directory is an open directory: its entries as they were when it was opened or last rewound. A listing is
// complete and has nothing twice, however many cgroups come and go meanwhile.
//
// Entries are sorted by their offsets: files first, then child cgroups by id, which is the order of their creation. So
// an offset (telldir, seekdir, the position of an open directory) has a meaning without the listing it came from.
type directory struct {
	node    node
	account *account // who is charged for the entries

	mu      sync.Mutex
	begun   bool
	entries []fuse.DirEntry
	charged int64
}

// Offsets of entries: "." and ".." first, then files by their numbers, then cgroups by id.
const (
	offsetDot = 1 + iota
	offsetDotDot
	offsetControls
	offsetSelf    = 1<<8 - 1
	offsetFiles   = 1 << 8
	offsetCgroups = 1 << 10
)

// offsetRendering is past the offsets of views: a directory of renderings has no child cgroups.
func offsetRendering(r Rendering, number int) uint64 {
	return uint64(r)<<numberBits | uint64(number) + offsetFiles
}

// OpenDir lists a directory.
func (f *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	d := &directory{node: f.node(in.NodeId), account: f.limits.account(in.Uid)}
	if err := f.fill(d); err != nil {
		d.account.release(0)
		if isGone(err) {
			return f.stale.answer(&in.InHeader)
		}
		return errno(err)
	}
	out.Fh = f.memory.handle(0)
	f.dirs.add(out.Fh, d)
	return fuse.OK
}

// ReadDir gives the entries after an offset.
func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	d, ok := f.dirs.get(in.Fh)
	if !ok { // opened when another server was here: an offset means the same in a listing made now
		account := f.limits.account(in.Uid)
		var added bool
		if d, added = f.dirs.add(in.Fh, &directory{node: f.node(in.NodeId), account: account}); !added {
			account.release(0)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 && d.begun || d.entries == nil { // rewinddir(3): what there is now
		if err := f.fill(d); isGone(err) {
			return fuse.ENOENT
		} else if err != nil {
			return errno(err)
		}
	}
	d.begun = true
	next, _ := slices.BinarySearchFunc(d.entries, in.Offset+1, func(e fuse.DirEntry, off uint64) int {
		return cmp.Compare(e.Off, off)
	})
	for _, e := range d.entries[next:] {
		if !out.AddDirEntry(e) {
			break
		}
	}
	return fuse.OK
}

// ReleaseDir forgets an open directory.
func (f *FS) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := f.dirs.remove(in.Fh); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.account.release(d.charged)
	}
}

// fill lists the directory as it is now.
func (f *FS) fill(d *directory) error {
	entries, err := f.list(d.node)
	if err != nil {
		return err
	}
	charge := int64(4096)
	for _, e := range entries {
		charge += int64(unsafe.Sizeof(e)) + int64(len(e.Name))
	}
	if err := d.account.charge(charge - d.charged); err != nil {
		return err
	}
	d.entries, d.charged = entries, charge
	return nil
}

// list makes a directory's entries.
func (f *FS) list(dir node) ([]fuse.DirEntry, error) {
	views := f.views.Load()
	entries := []fuse.DirEntry{
		{Name: ".", Mode: unix.S_IFDIR, Ino: dir.ino(), Off: offsetDot},
		{Name: "..", Mode: unix.S_IFDIR, Off: offsetDotDot},
	}
	add := func(name string, mode uint32, off uint64, n node) {
		entries = append(entries, fuse.DirEntry{Name: name, Mode: mode, Ino: n.ino(), Off: off})
	}
	children := func(taken, free kind) error {
		return f.hierarchy.Children(dir.cgroup, func(id uint64, name string) {
			k := free
			if views.takes(dir.cgroup, name) {
				k = taken
			}
			switch k {
			case kindCgroup:
				add(name, unix.S_IFDIR, offsetCgroups+id, node{cgroup: id})
			case kindLink:
				add(name, unix.S_IFLNK, offsetCgroups+id, node{cgroup: id, kind: kindLink})
			}
		})
	}
	var err error
	switch {
	case dir.kind == kindCgroup:
		for number, v := range views.byNumber {
			if v != nil && v.isIn(dir.cgroup, Plain) {
				add(v.Name, unix.S_IFREG, offsetFiles+uint64(number), viewNode(dir.cgroup, number, Plain))
			}
		}
		err = children(kindNone, kindCgroup)
	case dir.number == controlCgroups:
		err = children(kindCgroup, kindLink)
	case dir.number != controlTop:
		for r := range Rendering(len(renderings)) {
			if renderings[r].dir != controlDirs[dir.number] {
				continue
			}
			for number, v := range views.byNumber {
				if v != nil && v.has(r) && v.isIn(dir.cgroup, r) {
					add(r.fileName(v.Name), unix.S_IFREG, offsetRendering(r, number), viewNode(dir.cgroup, number, r))
				}
			}
		}
		_, err = f.hierarchy.Stat(dir.cgroup)
	default:
		if dir.cgroup == f.root {
			add(selfName, unix.S_IFLNK, offsetSelf, node{cgroup: dir.cgroup, kind: kindSelf})
		}
		for i, name := range controlDirs[1:] {
			add(name, unix.S_IFDIR, offsetControls+uint64(i), node{dir.cgroup, kindControl, i + 1, 0})
		}
		for i, info := range infos {
			if f.hasInfo(dir.cgroup, info) {
				add(info.name, unix.S_IFREG, offsetFiles+uint64(i), node{dir.cgroup, kindInfo, i, 0})
			}
		}
		_, err = f.hierarchy.Stat(dir.cgroup)
	}
	slices.SortFunc(entries, func(a, b fuse.DirEntry) int { return cmp.Compare(a.Off, b.Off) })
	return entries, err
}
