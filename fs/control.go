package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Every cgroup's directory has a control directory that is opened by name and never listed, as ZFS's .zfs.
// Its files are about the views, or repeat their data, so ls, find, grep -r and tar must not meet them.
const controlName = ".bpfview"

// controlDirs are the directories below a cgroup's directory, by node number: the control directory and its
// children.
var controlDirs = []string{controlName, "cgroup", "json", "prom", "raw", "schema", "tree", "id", "textfile",
	allDir}

const (
	controlTop     = 0
	controlCgroups = 1
	controlIDs     = 7
)

// controlChild finds a name in a control directory. A child cgroup found below .bpfview/cgroup may not exist.
func (f *FS) controlChild(h *fuse.InHeader, dir node, name string) (node, error) {
	n := node{cgroup: dir.cgroup}
	switch dir.number {
	case controlTop:
	case controlCgroups:
		// The kernel allows a directory one place in the tree. So this is a link if the cgroup's name
		// is not taken.
		n.kind = kindLink
		if f.views.Load().shadows(dir.cgroup, name) {
			n.kind = kindCgroup
		}
		return n, nil
	case controlIDs:
		return f.byID(dir.cgroup, name, f.reader(h).rights())
	default:
		if dir.number < len(controlDirs) {
			view, as, _ := renderedAs(controlDirs[dir.number], name)
			if found, ok := f.views.Load().file(dir.cgroup, view, as); ok {
				return found, nil
			}
			if as.ofUnions() {
				return f.lookupUnion(h.Uid, dir.cgroup, view, as)
			}
		}
		return node{}, unix.ENOENT
	}
	if name == selfName && dir.cgroup == f.root {
		n.kind = kindSelf
		return n, nil
	}
	for i, dir := range controlDirs[1:] {
		if dir == name {
			n.kind, n.number = kindControl, i+1
			return n, nil
		}
	}
	for i, info := range infos {
		if info.name == name && f.hasInfo(dir.cgroup, info) {
			n.kind, n.number = kindInfo, i
			return n, nil
		}
	}
	return node{}, unix.ENOENT
}

func (f *FS) hasInfo(cgroup uint64, i info) bool { return cgroup == f.root || !i.rootOnly }
