package fs

import (
	"sync"

	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/listing"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// directory is an open directory with its entries at the time it was opened or last rewound. A listing is
// complete and names nothing twice, also while cgroups come and go.
type directory struct {
	maker   *maker
	account *limits.Account // of the user charged for the listing

	mu      sync.Mutex
	begun   bool
	listing *listing.Listing
	charged int64
}

// OpenDir lists a directory.
func (f *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	d, err := f.directory(in.NodeId, in.Uid)
	if err != nil {
		return errno(err)
	}
	if err := f.fill(d); err != nil {
		f.end(d)
		if isGone(err) {
			return f.stale.Answer(&in.InHeader)
		}
		return errno(err)
	}
	out.Fh = f.memory.Handle(nil)
	f.dirs.add(out.Fh, d)
	return fuse.OK
}

func (f *FS) directory(id uint64, uid uint32) (*directory, error) {
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	if n.kind != kindCgroup && n.kind != kindControl {
		return nil, unix.ENOTDIR // never: the kernel knows which nodes are directories
	}
	account, err := f.limits.Hold(uid, 0, 0)
	if err != nil {
		return nil, err
	}
	return &directory{maker: f.listings.open(n), account: account}, nil
}

// ReadDir returns the entries after an offset.
func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	_, l, status := f.read(in)
	if status.Ok() {
		l.After(in.Offset, out.AddDirEntry)
	}
	return status
}

// mostLookups bounds the time of one READDIRPLUS to a millisecond.
const mostLookups = 256

// ReadDirPlus is ReadDir, and for child cgroups also the Lookup that a walk over the tree makes next. The
// kernel sends it for the first entries of a directory, and for others if names there were looked up before.
// Files are left out, because most walks do not ask for them and their inodes would take memory.
func (f *FS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	dir, l, status := f.read(in)
	if !status.Ok() {
		return status
	}
	lookups := 0
	l.After(in.Offset, func(e fuse.DirEntry) bool {
		entry := out.AddDirLookupEntry(e)
		if entry == nil {
			return false
		}
		if dir.kind != kindCgroup || e.Off < offsetCgroups || lookups == mostLookups {
			return true
		}
		lookups++
		found, attr, err := f.lookup(&in.InHeader, dir, e.Name)
		if err == nil && found.kind == kindCgroup && found.ino() == e.Ino { // else the name is left to LOOKUP
			f.answerLookup(found, attr, entry)
		}
		return true
	})
	return fuse.OK
}

// read returns the listing of an open directory.
func (f *FS) read(in *fuse.ReadIn) (node, *listing.Listing, fuse.Status) {
	d, ok := f.dirs.get(in.Fh)
	if !ok { // opened by another server: an offset means the same in a new listing
		opened, err := f.directory(in.NodeId, in.Uid)
		if err != nil {
			return node{}, nil, errno(err)
		}
		var added bool
		if d, added = f.dirs.add(in.Fh, opened); !added {
			f.end(opened)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 && d.begun || d.listing == nil { // rewinddir(3) lists anew
		if err := f.fill(d); isGone(err) {
			return node{}, nil, fuse.ENOENT
		} else if err != nil {
			return node{}, nil, errno(err)
		}
	}
	d.begun = true
	return d.maker.node, d.listing, fuse.OK
}

// ReleaseDir forgets an open directory.
func (f *FS) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := f.dirs.remove(in.Fh); ok {
		f.end(d)
	}
}

// end undoes directory and fill.
func (f *FS) end(d *directory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.listings.close(d.maker)
	d.account.Release(0, d.charged)
}

// fill lists the directory as it is now. It charges the user an estimate before the work.
func (f *FS) fill(d *directory) error {
	st, err := f.hierarchy.Stat(d.maker.node.cgroup)
	if err != nil {
		return err
	}
	charge := func(bytes int64) error {
		err := d.account.Charge(bytes-d.charged, false)
		if err == nil {
			d.charged = bytes
		}
		return err
	}
	if err := charge(listing.Estimate(int64(st.Nlink))); err != nil {
		return err
	}
	l, err := d.maker.get(f.list)
	if err != nil {
		return err
	}
	if err := charge(l.Size()); err != nil {
		return err
	}
	d.listing = l
	return nil
}
