package fs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/fs/rights"
	words "bpfviewfs/internal/errno"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// selfName is a link in the root's .bpfview to the reader's own cgroup. It is in no other directory, because
// a reader that sees only a part of the tree must not be led out of it.
const selfName = "self"

// Readlink returns the target of a link, always relative to its own directory, because the tree may be
// mounted anywhere.
//
//   - .bpfview/cgroup/NAME: the child cgroup's own directory.
//   - .bpfview/self: the caller's present cgroup; the kernel caches no link's target.
//   - .bpfview/id/N: the cgroup with the id N, below the directory of .bpfview, if the caller could find it
//     there by walking.
func (f *FS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	n, err := f.node(h.NodeId)
	if err != nil {
		return nil, errno(err)
	}
	target, err := f.target(n, h)
	if isGone(err) && n.kind == kindSelf || err == errUnreachable {
		return nil, fuse.ENOENT
	} else if isGone(err) {
		return nil, f.stale.Answer(h)
	} else if err != nil {
		return nil, errno(err)
	}
	return []byte(target), fuse.OK
}

func (f *FS) target(n node, h *fuse.InHeader) (string, error) {
	switch n.kind {
	case kindLink:
		name, err := f.hierarchy.Path(n.cgroup)
		return "../../" + path.Base(name), err
	case kindSelf:
		own, err := f.of(h.Pid)
		if err != nil {
			return "", err
		}
		way, err := f.way(own, 0, nil)
		return path.Join("..", way), err
	case kindID:
		way, err := f.way(n.cgroup, n.number, f.reader(h).rights())
		return path.Join("../..", way), err
	}
	if n.kind == kindGone {
		return "", unix.ESTALE
	}
	return "", words.Errorf(unix.EINVAL, "not a link")
}

// of returns the cgroup of a thread. The kernel passes thread 0 if this process's pid namespace does not know
// it.
func (f *FS) of(thread uint32) (uint64, error) {
	if thread == 0 {
		return 0, unix.ENOENT
	}
	return f.hierarchy.Of(thread)
}

// byID finds the link .bpfview/id/N. The error does not tell a cgroup elsewhere, or one that the caller
// cannot reach, from one that does not exist.
func (f *FS) byID(base uint64, name string, rights Rights) (node, error) {
	id, err := strconv.ParseUint(name, 10, 64)
	if err != nil || strconv.FormatUint(id, 10) != name || checkCgroup(id) != nil {
		return node{}, unix.ENOENT
	}
	from, err := f.elements(base)
	if err != nil {
		return node{}, err
	}
	to, err := f.elements(id)
	if err != nil || len(to) < len(from) || !slices.Equal(from, to[:len(from)]) || len(from) > maxNumber {
		return node{}, unix.ENOENT
	}
	if rights != nil {
		if _, err := f.way(id, len(from), rights); err != nil {
			return node{}, unix.ENOENT
		}
	}
	return node{cgroup: id, kind: kindID, number: len(from)}, nil
}

// elements returns the names on the way from the root to a cgroup.
func (f *FS) elements(cgroup uint64) ([]string, error) {
	to, err := f.hierarchy.Path(cgroup)
	if err != nil {
		return nil, err
	}
	root, err := f.hierarchy.Path(f.root)
	if err != nil {
		return nil, err
	}
	below, ok := strings.CutPrefix(to, strings.TrimSuffix(root, "/"))
	switch {
	case !ok:
		return nil, unix.ENOENT
	case below == "", below == "/":
		return nil, nil
	case below[0] != '/':
		return nil, unix.ENOENT
	}
	return strings.Split(below[1:], "/"), nil
}

// errUnreachable is about a cgroup that the caller could not find by walking.
var errUnreachable = words.Errorf(unix.ENOENT, "a directory on the way is closed")

// way returns the path of a cgroup in this tree, from its ancestor depth levels below the root. It goes
// around names that views have taken. If a caller with these rights could not walk it, it is errUnreachable.
func (f *FS) way(cgroup uint64, depth int, may Rights) (string, error) {
	names, err := f.elements(cgroup)
	if err != nil {
		return "", err
	}
	if depth > len(names) { // it was moved up, which cgroups cannot be
		return "", unix.ENOENT
	}
	views := f.views.Load()
	var way []string
	at := f.root
	permits := func(st *unix.Stat_t, bits uint32) bool {
		return may == nil || may(st.Uid, st.Gid, st.Mode)&bits == bits
	}
	lists := true // the directory at
	if depth == 0 && may != nil {
		st, err := f.hierarchy.Stat(at)
		if err != nil {
			return "", err
		}
		lists = permits(&st, rights.List)
	}
	for i, name := range names {
		if i >= depth {
			if views.shadows(at, name) {
				way = append(way, controlName, controlDirs[controlCgroups])
			}
			way = append(way, name)
		}
		st, err := f.hierarchy.Child(at, name)
		if err != nil {
			return "", err
		}
		if i >= depth && !(lists && permits(&st, rights.Enter)) {
			return "", errUnreachable
		}
		at, lists = st.Ino, i+1 < depth || permits(&st, rights.List)
	}
	return path.Join(way...), nil
}
