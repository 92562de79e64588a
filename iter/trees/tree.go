// Package trees has the cgroups of a tree, their names and their paths.
package trees

import (
	"slices"
	"unsafe"

	"bpfviewfs/internal/plain"
)

// Tree lists a cgroup and all below it, in pre-order. A cgroup has only its name. All paths together would grow
// with the square of the depth, and every owner of a cgroup may choose that.
type Tree struct {
	cgroups  []listed
	names    []byte // of the cgroups
	whole    []byte // room for one path
	special  bool   // some name has something to escape
	shared   bool   // cgroups and names are those of another tree
	kept     *kept  // nil if no other tree has these cgroups
	greatest uint64 // id
}

type listed struct {
	cgroup        uint64
	parent        uint32 // its number; 0 for the first cgroup, too
	name, nameEnd uint32 // in names
}

// Add appends a cgroup below the one with the number parent, and gives its number. The first is called
// ".".
func (t *Tree) Add(cgroup uint64, parent int, name string) int {
	from := len(t.names)
	t.names = append(t.names, name...)
	t.list(cgroup, parent, from, len(t.names))
	return len(t.cgroups) - 1
}

func (t *Tree) list(cgroup uint64, parent, name, nameEnd int) {
	t.cgroups = append(t.cgroups, listed{cgroup, uint32(parent), uint32(name), uint32(nameEnd)})
	t.special = t.special || !plain.Everywhere(t.names[name:nameEnd])
	t.greatest = max(t.greatest, cgroup)
}

// Share takes the cgroups of a tree that does not change before this one is reset.
func (t *Tree) Share(of *Tree) {
	t.cgroups, t.names, t.special, t.greatest = of.cgroups, of.names, of.special, of.greatest
	if of.kept == nil {
		of.kept = new(kept)
	}
	t.kept, t.shared = of.kept, true
}

// Reset makes the tree empty. A shared one stays as it is.
func (t *Tree) Reset() {
	if t.shared {
		t.cgroups, t.names, t.shared = nil, nil, false
	}
	t.cgroups, t.names, t.special, t.greatest, t.kept = t.cgroups[:0], t.names[:0], false, 0, nil
}

// Trim makes the tree empty, and gives back memory of more than some bytes.
func (t *Tree) Trim(bytes int) {
	t.Reset()
	if max(int(unsafe.Sizeof(listed{}))*cap(t.cgroups), cap(t.names), cap(t.whole)) > bytes {
		*t = Tree{}
	}
}

// Len is the number of cgroups.
func (t *Tree) Len() int { return len(t.cgroups) }

// Cgroup is the id of a cgroup by its number.
func (t *Tree) Cgroup(i int) uint64 { return t.cgroups[i].cgroup }

// Parent is the number of the cgroup above; 0 for the first cgroup, too.
func (t *Tree) Parent(i int) int { return int(t.cgroups[i].parent) }

// Greatest is the greatest id of all.
func (t *Tree) Greatest() uint64 { return t.greatest }

// Name is the last element of a cgroup's path.
func (t *Tree) Name(i int) []byte { return t.names[t.cgroups[i].name:t.cgroups[i].nameEnd] }

// Plain reports whether no name has anything to escape in any format.
func (t *Tree) Plain() bool { return !t.special }

// Path is the path of a cgroup relative to the first. It is good until the next call.
func (t *Tree) Path(i int) []byte {
	if t.Parent(i) == 0 {
		return t.Name(i)
	}
	size := len(t.Name(i))
	for p := t.Parent(i); p != 0; p = t.Parent(p) {
		size += len(t.Name(p)) + 1
	}
	t.whole = slices.Grow(t.whole[:0], size)[:size]
	for ; ; i = t.Parent(i) {
		name := t.Name(i)
		size -= copy(t.whole[size-len(name):], name)
		if t.Parent(i) == 0 {
			return t.whole
		}
		size--
		t.whole[size] = '/'
	}
}
