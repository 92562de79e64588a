package fs

import (
	"golang.org/x/sys/unix"
)

// Every cgroup's directory has a control directory that is opened by name and never listed, as ZFS's .zfs: what it
// holds is about the views, or another way to the same data, and must not be met by ls, find, grep -r or tar.
const controlName = ".bpfview"

// controlDirs are the directories below a cgroup's directory, by node number: the control directory itself and those in it.
var controlDirs = []string{controlName, "cgroup", "json", "prom", "raw", "schema", "tree", "id"}

const (
	controlTop     = 0
	controlCgroups = 1
	controlIDs     = 7
)

// controlChild finds a name in a control directory. What it finds below .bpfview/cgroup is a child cgroup
// that may not exist.
func (f *FS) controlChild(dir node, name string) (node, error) {
	n := node{cgroup: dir.cgroup}
	switch dir.number {
	case controlTop:
	case controlCgroups:
		// The kernel allows a directory one place in the tree, so where a name is not taken the way is a link.
		n.kind = kindLink
		if f.views.Load().takes(dir.cgroup, name) {
			n.kind = kindCgroup
		}
		return n, nil
	case controlIDs:
		return f.byID(dir.cgroup, name)
	default:
		if dir.number < len(controlDirs) {
			view, as, _ := renderedAs(controlDirs[dir.number], name)
			if found, ok := f.views.Load().file(dir.cgroup, view, as); ok {
				return found, nil
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
