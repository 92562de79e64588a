package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Lookup finds a name in a directory.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	found, attr, err := f.lookup(f.node(h.NodeId), name)
	if err == nil && !attr.IsDir() && attr.Mode&unix.S_IFMT != unix.S_IFLNK {
		found, err = f.nodes.reserve(found, attr, h.Pid)
	}
	switch {
	case err == unix.ESTALE:
		return f.stale.answer(h)
	case err != nil:
		return errno(err)
	}
	out.NodeId = found.id()
	out.Attr = attr
	if attr.IsDir() {
		out.SetEntryTimeout(directoryTimeout)
		out.SetAttrTimeout(directoryTimeout)
	} // else 0: the next LOOKUP of a file must come here to get a node that is free
	return fuse.OK
}

// lookup is Lookup without the kernel's side of it. The error is unix.ESTALE itself when the directory's cgroup is gone.
func (f *FS) lookup(dir node, name string) (node, fuse.Attr, error) {
	cgroup := func() (unix.Stat_t, error) {
		st, err := f.hierarchy.Stat(dir.cgroup)
		if isGone(err) {
			err = unix.ESTALE
		}
		return st, err
	}
	if dir.kind == kindControl {
		found, err := f.controlChild(dir, name)
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

// childCgroup finds a child cgroup: its directory (kindCgroup), or the link to that (kindLink).
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

// attr is what stat(2) shows of a node, given that of its cgroup's directory.
func (f *FS) attr(n node, st *unix.Stat_t) fuse.Attr {
	a := fuse.Attr{
		Ino:   n.ino(),
		Nlink: 1,
		Owner: fuse.Owner{Uid: st.Uid, Gid: st.Gid},
		// The cgroup's times, not now: archivers complain of files that change while they read.
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
		f.viewRights(n.number, &a)
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
	case kindInfo:
		a.Mode = unix.S_IFREG | infos[n.number].mode
	}
	return a
}

// viewRights fills in what a view's file has of its own: mode and, where the view says so, owner. What is said of one view goes
// before what is said of the whole mount.
func (f *FS) viewRights(number int, a *fuse.Attr) {
	a.Mode = unix.S_IFREG | 0o440
	if f.mode != nil {
		a.Mode = unix.S_IFREG | *f.mode
	}
	if view := f.views.Load().byNumber[number]; view != nil {
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

// GetAttr answers stat(2) where the kernel has to ask: for an open file from what its run gave, the exact size included.
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n := f.node(in.NodeId)
	known, inUse := f.nodes.attr(in.NodeId)
	if !inUse && !n.isDir() && f.find(in.NodeId) {
		known, inUse = f.nodes.attr(in.NodeId)
	}
	if inUse && known.Size == unknownSize {
		f.forgetClosed()
		known, inUse = f.nodes.attr(in.NodeId)
	}
	if inUse && known.Size == unknownSize {
		return fuse.Status(unix.ESTALE)
	}
	if inUse && known.Ino != 0 {
		out.Attr = known
		return fuse.OK
	}
	st, err := f.hierarchy.Stat(n.cgroup)
	if isGone(err) && inUse {
		err = nil // an open file of a removed cgroup: its size matters, not its owner
	}
	if isGone(err) {
		return f.stale.answer(&in.InHeader)
	} else if err != nil {
		return errno(err)
	}
	out.Attr = f.attr(n, &st)
	out.Size = known.Size
	if n.isDir() {
		out.SetTimeout(directoryTimeout)
	}
	return fuse.OK
}
