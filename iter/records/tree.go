package records

import (
	"slices"
)

// Tree lists a cgroup and all below it, in pre-order. A cgroup has only its name. All paths together would grow
// with the square of the depth, and every owner of a cgroup may choose that.
type Tree struct {
	cgroups []listed
	names   []byte // of the cgroups
	whole   []byte // room for one path
}

type listed struct {
	cgroup        uint64
	parent        int // its number; 0 for the first cgroup, too
	name, nameEnd int // in names
}

// Add appends a cgroup below the one with the number parent, and gives its number. The first is called
// ".".
func (t *Tree) Add(cgroup uint64, parent int, name string) int {
	n := listed{cgroup: cgroup, parent: parent, name: len(t.names)}
	t.names = append(t.names, name...)
	n.nameEnd = len(t.names)
	t.cgroups = append(t.cgroups, n)
	return len(t.cgroups) - 1
}

// ShareTree takes a tree that does not change before the output is rendered.
func (o *Output) ShareTree(t *Tree) { o.cgroups, o.names, o.shared = t.cgroups, t.names, true }

// Reset makes the tree empty. A shared one stays as it is.
func (o *Output) Reset() {
	if o.shared {
		o.cgroups, o.names, o.shared = nil, nil, false
	}
	o.cgroups, o.names = o.cgroups[:0], o.names[:0]
}

// Len is the number of cgroups.
func (t *Tree) Len() int { return len(t.cgroups) }

// Cgroup is the id of a cgroup by its number.
func (t *Tree) Cgroup(i int) uint64 { return t.cgroups[i].cgroup }

// Parent is the number of the cgroup above; 0 for the first cgroup, too.
func (t *Tree) Parent(i int) int { return t.cgroups[i].parent }

// path is the path of a cgroup relative to the first. It is good until the next call.
func (t *Tree) path(i int) []byte {
	n := &t.cgroups[i]
	if n.parent == 0 {
		return t.names[n.name:n.nameEnd]
	}
	size := n.nameEnd - n.name
	for p := n.parent; p != 0; p = t.cgroups[p].parent {
		size += t.cgroups[p].nameEnd - t.cgroups[p].name + 1
	}
	t.whole = slices.Grow(t.whole[:0], size)[:size]
	for ; ; n = &t.cgroups[n.parent] {
		size -= n.nameEnd - n.name
		copy(t.whole[size:], t.names[n.name:n.nameEnd])
		if n.parent == 0 {
			return t.whole
		}
		size--
		t.whole[size] = '/'
	}
}
