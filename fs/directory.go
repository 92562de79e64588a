package fs

import (
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// directory is an open directory: its entries as they were when it was opened or last rewound. A listing is
// complete and has nothing twice, however many cgroups come and go meanwhile.
type directory struct {
	node    node
	account *account // who is charged for the listing

	mu      sync.Mutex
	begun   bool
	listing *listing
	charged int64
}

// OpenDir lists a directory.
func (f *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	d, err := f.directory(in.NodeId, in.Uid)
	if err != nil {
		return errno(err)
	}
	if err := f.fill(d); err != nil {
		d.account.release(0, d.charged)
		if isGone(err) {
			return f.stale.answer(&in.InHeader)
		}
		return errno(err)
	}
	out.Fh = f.memory.handle(0)
	f.dirs.add(out.Fh, d)
	return fuse.OK
}

func (f *FS) directory(id uint64, uid uint32) (*directory, error) {
	n, err := f.node(id)
	if err != nil {
		return nil, err
	}
	if n.kind != kindCgroup && n.kind != kindControl {
		return nil, unix.ENOTDIR // never: the kernel knows what is a directory
	}
	account, err := f.limits.hold(uid, 0, 0)
	return &directory{node: n, account: account}, err
}

// ReadDir gives the entries after an offset.
func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	d, ok := f.dirs.get(in.Fh)
	if !ok { // opened when another server was here: an offset means the same in a listing made now
		opened, err := f.directory(in.NodeId, in.Uid)
		if err != nil {
			return errno(err)
		}
		var added bool
		if d, added = f.dirs.add(in.Fh, opened); !added {
			opened.account.release(0, 0)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.Offset == 0 && d.begun || d.listing == nil { // rewinddir(3): what there is now
		if err := f.fill(d); isGone(err) {
			return fuse.ENOENT
		} else if err != nil {
			return errno(err)
		}
	}
	d.begun = true
	d.listing.after(in.Offset, out.AddDirEntry)
	return fuse.OK
}

// ReleaseDir forgets an open directory.
func (f *FS) ReleaseDir(in *fuse.ReleaseIn) {
	if d, ok := f.dirs.remove(in.Fh); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.account.release(0, d.charged)
	}
}

// fill lists the directory as it is now. The user is charged for about what it takes before it is done.
func (f *FS) fill(d *directory) error {
	st, err := f.hierarchy.Stat(d.node.cgroup)
	if err != nil {
		return err
	}
	charge := func(bytes int64) error {
		err := d.account.charge(bytes-d.charged, false)
		if err == nil {
			d.charged = bytes
		}
		return err
	}
	if err := charge(leastListing + int64(st.Nlink)*(entrySize+usualName)); err != nil {
		return err
	}
	listing, err := f.listings.get(d.node, f.list)
	if err != nil {
		return err
	}
	if err := charge(listing.size()); err != nil {
		return err
	}
	d.listing = listing
	return nil
}
