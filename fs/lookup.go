package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Lookup finds a name in a directory.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, err := f.node(h.NodeId)
	if err != nil {
		return errno(err)
	}
	found, attr, err := f.lookup(h, dir, name)
	if err == unix.ESTALE {
		gone := goneChild(dir)
		out.NodeId, out.Attr = gone.id(), f.attr(gone, &unix.Stat_t{})
		return fuse.OK
	}
	f.stale.Passed(h.Pid)
	if err != nil {
		f.failed(h.Uid, "look up "+oneLine(name), dir.cgroup, err)
		return errno(err)
	}
	f.answerLookup(found, attr, out)
	return fuse.OK
}

func (f *FS) answerLookup(found node, attr fuse.Attr, out *fuse.EntryOut) {
	out.NodeId = found.id()
	out.Attr = attr
	if found.isFile() {
		f.newest.Show(out.NodeId, &out.Attr)
	}
	if found.kind != kindID { // each caller is asked about
		out.SetEntryTimeout(cacheTime)
	}
	out.SetAttrTimeout(cacheTime)
}

// goneChild is the result of every name in the directory of a removed cgroup, see told.Stale. It is a link if the
// directory has links, because readlink(2) of another node would be EINVAL.
func goneChild(dir node) node {
	n := node{cgroup: dir.cgroup, kind: kindGone}
	if dir.kind == kindControl && (dir.number == controlCgroups || dir.number == controlIDs) {
		n.number = 1
	}
	return n
}

// lookup is Lookup without the kernel's part. If the directory's cgroup is gone, the error is unix.ESTALE
// itself.
func (f *FS) lookup(h *fuse.InHeader, dir node, name string) (node, fuse.Attr, error) {
	cgroup := func() (unix.Stat_t, error) {
		st, err := f.hierarchy.Stat(dir.cgroup)
		if isGone(err) {
			err = unix.ESTALE
		}
		return st, err
	}
	if dir.kind == kindControl {
		found, err := f.controlChild(h, dir, name)
		if isGone(err) { // perhaps the whole cgroup
			if _, gone := cgroup(); gone != nil {
				err = gone
			}
		}
		if err != nil {
			return node{}, fuse.Attr{}, err
		}
		if found.kind == kindCgroup || found.kind == kindLink {
			return f.childCgroup(dir.cgroup, name, found.kind)
		}
		st, err := cgroup()
		return found, f.attr(found, &st), err
	}
	if name == controlName {
		st, err := cgroup()
		control := node{cgroup: dir.cgroup, kind: kindControl}
		return control, f.attr(control, &st), err
	}
	if view, ok := f.views.Load().file(dir.cgroup, name, Plain); ok {
		st, err := cgroup()
		return view, f.attr(view, &st), err
	}
	return f.childCgroup(dir.cgroup, name, kindCgroup)
}

// childCgroup finds a child cgroup: its directory (kindCgroup), or the link to it (kindLink).
func (f *FS) childCgroup(parent uint64, name string, k kind) (node, fuse.Attr, error) {
	st, err := f.hierarchy.Child(parent, name)
	if err != nil {
		if isStale(err) {
			err = unix.ESTALE
		}
		return node{}, fuse.Attr{}, err
	}
	if err := checkCgroup(st.Ino); err != nil {
		return node{}, fuse.Attr{}, err
	}
	child := node{cgroup: st.Ino, kind: k}
	return child, f.attr(child, &st), nil
}

// attr returns the attributes of a node, made of the attributes st of its cgroup's directory.
func (f *FS) attr(n node, st *unix.Stat_t) fuse.Attr {
	a := fuse.Attr{
		Ino:   n.ino(),
		Nlink: 1,
		Owner: fuse.Owner{Uid: st.Uid, Gid: st.Gid},
		// Before the first run, too, times must not be now, because archivers complain of files that
		// change while they read.
		Atime: uint64(st.Atim.Sec), Atimensec: uint32(st.Atim.Nsec),
		Mtime: uint64(st.Mtim.Sec), Mtimensec: uint32(st.Mtim.Nsec),
		Ctime: uint64(st.Ctim.Sec), Ctimensec: uint32(st.Ctim.Nsec),
		Blksize: 4096,
	}
	if f.uid != nil {
		a.Uid = *f.uid
	}
	if f.gid != nil {
		a.Gid = *f.gid
	}
	if n.isView() {
		f.viewRights(f.views.Load().byNumber[n.number], &a)
	}
	if n.isUnion() {
		f.unionRights(n, &a)
	}
	switch n.kind {
	case kindCgroup:
		a.Mode = unix.S_IFDIR | st.Mode&0o7777
		a.Nlink = uint32(st.Nlink) // find(1) may count sub-directories with it
	case kindControl:
		a.Mode = unix.S_IFDIR | st.Mode&0o555
		a.Nlink = 2
	case kindLink, kindSelf, kindID:
		a.Mode = unix.S_IFLNK | 0o777
	case kindGone:
		a.Mode = []uint32{unix.S_IFDIR | 0o555, unix.S_IFLNK | 0o777}[n.number]
	case kindInfo:
		a.Mode = unix.S_IFREG | infos[n.number].mode
	}
	return a
}

// viewRights fills in the mode of a view's file and, if the view names one, the owner. The view's own
// settings win over the mount's.
func (f *FS) viewRights(view *View, a *fuse.Attr) {
	a.Mode = unix.S_IFREG | 0o440
	if f.mode != nil {
		a.Mode = unix.S_IFREG | *f.mode
	}
	if view != nil {
		if view.Mode != 0 {
			a.Mode = unix.S_IFREG | view.Mode
		}
		if view.UID != nil {
			a.Uid = *view.UID
		}
		if view.GID != nil {
			a.Gid = *view.GID
		}
	}
}

// GetAttr answers stat(2) if the kernel's attributes have expired.
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, err := f.node(in.NodeId)
	if err != nil {
		return errno(err)
	}
	if n.kind == kindGone {
		return f.stale.Answer(&in.InHeader)
	}
	if n.isFile() && f.isShared() {
		f.find(in.NodeId)
	}
	st, err := f.hierarchy.Stat(n.cgroup)
	switch {
	case isGone(err) && f.newest.IsOpen(in.NodeId): // of an open file the size matters, not the owner
	case isGone(err):
		return f.stale.Answer(&in.InHeader)
	case err != nil:
		f.failed(in.Uid, "stat", n.cgroup, err)
		return errno(err)
	}
	out.Attr = f.attr(n, &st)
	if n.isFile() {
		f.newest.Show(in.NodeId, &out.Attr)
	}
	out.SetTimeout(cacheTime)
	return fuse.OK
}
