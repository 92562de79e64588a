package records

import (
	"slices"
)

// Tree lists a cgroup and all below it, in pre-order. A node has only its name. All paths together would grow
// with the square of the depth, and every owner of a cgroup may choose that.
type Tree struct {
	nodes []node
	names []byte // of the nodes
	whole []byte // room for one path
}

type node struct {
	cgroup        uint64
	parent        int // among the nodes; 0 for the first node, too
	name, nameEnd int // in names
}

// Reset makes the tree empty.
func (t *Tree) Reset() { t.nodes, t.names = t.nodes[:0], t.names[:0] }

// Add appends a cgroup below the node with the number parent, and gives its number. The first node is called
// ".".
func (t *Tree) Add(cgroup uint64, parent int, name string) int {
	n := node{cgroup: cgroup, parent: parent, name: len(t.names)}
	t.names = append(t.names, name...)
	n.nameEnd = len(t.names)
	t.nodes = append(t.nodes, n)
	return len(t.nodes) - 1
}

// ShareTree takes the tree of another output, for runs of several views. Both must be rendered before the other
// one changes.
func (o *Output) ShareTree(other *Output) {
	o.nodes, o.names, o.shared = other.nodes, other.names, true
}

// Len is the number of cgroups.
func (t *Tree) Len() int { return len(t.nodes) }

// Cgroup is the id of a node by its number.
func (t *Tree) Cgroup(i int) uint64 { return t.nodes[i].cgroup }

// Parent is the number of the node above; 0 for the first node, too.
func (t *Tree) Parent(i int) int { return t.nodes[i].parent }

// path is the path of a node relative to the first. It is good until the next call.
func (t *Tree) path(i int) []byte {
	n := &t.nodes[i]
	if n.parent == 0 {
		return t.names[n.name:n.nameEnd]
	}
	size := n.nameEnd - n.name
	for p := n.parent; p != 0; p = t.nodes[p].parent {
		size += t.nodes[p].nameEnd - t.nodes[p].name + 1
	}
	t.whole = slices.Grow(t.whole[:0], size)[:size]
	for ; ; n = &t.nodes[n.parent] {
		size -= n.nameEnd - n.name
		copy(t.whole[size:], t.names[n.name:n.nameEnd])
		if n.parent == 0 {
			return t.whole
		}
		size--
		t.whole[size] = '/'
	}
}
