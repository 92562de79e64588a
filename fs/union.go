package fs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	words "bpfviewfs/internal/errno"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A union is a file with the output of several views: VIEW+VIEW in .bpfview/all, or in .bpfview/tree for a
// cgroup and all below it. Its node has a number of its own (see openfiles.Memory.Union).

// allViews is the name of the union of all views that can be in one.
const allViews = "all"

// isUnionName reports whether a name in a control directory is a union's. In .bpfview/tree a view goes first.
func (v *views) isUnionName(name string, as Rendering) bool {
	if renderings[as].dir == allDir {
		return name != ""
	}
	return strings.Contains(name, "+") || name == allViews && v.byName[name] == nil
}

// union returns the views of a union in a cgroup's directory, in their order. unix.ENOENT means that there is
// no such union, because one of its views is not there: a union is never smaller than its name.
func (v *views) union(cgroup uint64, name string, as Rendering) (list []*View, err error) {
	if name == allViews {
		for _, view := range v.all {
			if view.Err == nil && view.Apart == nil && view.isIn(cgroup, as) {
				list = append(list, view)
			}
		}
		if len(list) == 0 {
			return nil, words.Errorf(unix.ENOENT, "no view here can be in a union")
		}
		return list, nil
	}
	for name := range strings.SplitSeq(name, "+") {
		view := v.byName[name]
		switch {
		case view == nil:
			err = fmt.Errorf("no view is called %s", ShownName(name))
		case slices.Contains(list, view):
			err = fmt.Errorf("view %s is there twice", name)
		case view.Err != nil:
			err = fmt.Errorf("view %s is absent: %w", name, view.Err)
		case view.Apart != nil:
			err = view.Apart
		case !view.isIn(cgroup, as):
			err = fmt.Errorf("view %s is not in this cgroup", name)
		}
		if err != nil {
			return nil, words.Errorf(unix.ENOENT, "%w", err)
		}
		list = append(list, view)
	}
	return list, nil
}

// lookupUnion finds a union in a control directory. The reason why there is none is kept for .bpfview/errors.
func (f *FS) lookupUnion(uid uint32, cgroup uint64, name string, as Rendering) (node, error) {
	views := f.views.Load()
	if f.union == nil || !views.isUnionName(name, as) {
		return node{}, unix.ENOENT
	}
	_, err := views.union(cgroup, name, as)
	if err == nil {
		return node{cgroup: cgroup, kind: kindUnion + kind(as), number: f.memory.Union(name, unionNumber)}, nil
	}
	f.noteError(uid, content{view: &View{Name: name}, as: as}.name(), cgroup, err)
	return node{}, err
}

// unionViews returns the name of a node's union and its views.
func (f *FS) unionViews(n node) (name string, list []*View, err error) {
	if name = f.memory.UnionName(n.number); name == "" {
		return "", nil, unix.ESTALE
	}
	list, err = f.views.Load().union(n.cgroup, name, n.rendering())
	return name, list, err
}

// unionContent is the content of a union's file. Its view exists for this run alone.
func (f *FS) unionContent(n node) (content, error) {
	name, list, err := f.unionViews(n)
	if err != nil {
		return content{}, err
	}
	var names []string
	for _, v := range list {
		names = append(names, v.Name)
	}
	render := func(ctx context.Context, as Rendering, cgroup uint64, rights Rights, dst []byte) ([]byte, error) {
		return f.union(ctx, names, as, cgroup, rights, dst)
	}
	return content{view: &View{Name: name, Render: render}, as: n.rendering()}, nil
}

// unionRights fills in owner and mode of a union's file, so that only who may read each of the views may read
// it. If the views have several owners, the owner is root, and so for groups.
func (f *FS) unionRights(n node, a *fuse.Attr) {
	_, list, _ := f.unionViews(n)
	if len(list) == 0 {
		a.Mode = unix.S_IFREG
		return
	}
	base, owners, groups := *a, false, false
	f.viewRights(list[0], a)
	for _, v := range list[1:] {
		one := base
		f.viewRights(v, &one)
		owners = owners || one.Uid != a.Uid
		groups = groups || one.Gid != a.Gid
		a.Mode &= one.Mode
	}
	// Of a view's owner only the first three bits count. An owner whom the view gives less than others
	// must not be one of the others here. The same goes for groups.
	if owners {
		a.Uid = 0
		if a.Mode&0o400 == 0 {
			a.Mode &^= 0o077
		}
	}
	if groups {
		a.Gid = 0
		if a.Mode&0o040 == 0 {
			a.Mode &^= 0o007
		}
		a.Mode &^= 0o070
	}
}

// unionNumber returns the number of a union from the id of its node; false if the node is no union.
func unionNumber(id uint64) (number int, ok bool) {
	n, err := parseNode(id)
	return n.number, err == nil && n.isUnion()
}
