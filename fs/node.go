package fs

import (
	"fmt"

	"bpfviewfs/fs/openfiles"
	"golang.org/x/sys/unix"
)

// A node is the meaning of a FUSE node id. The id alone encodes it, so the server needs no table of nodes,
// and the next server understands the ids that the kernel got from this one:
//
//	63   58 57        40 39                 0
//	[ kind ][  number   ][     cgroup id     ]
//
// A cgroup's directory has kind and number 0, so its node id is the cgroup's id. A file has one node, and so
// one inode, however often it is open.
//
// kernfs makes an id of a 32-bit index and, above it, how often the indices wrapped around. 40 bits last for
// 10^11 cgroups made and removed since boot. A larger id gives EOVERFLOW, not the node of another cgroup.
type node struct {
	cgroup uint64
	kind   kind
	number int // of the view, or of the control directory or file
}

type kind uint8

// A later server gets the ids that this one gave out. Add to these, change none.
const (
	kindCgroup  kind = iota // the directory of a cgroup
	kindControl             // a directory below .bpfview, by its place in controlDirs
	kindLink                // a link in .bpfview/cgroup that leads to the cgroup's own directory
	kindInfo                // a file below .bpfview, by its place in infos
	kindSelf                // the link .bpfview/self, to the caller's own cgroup
	kindID                  // a link in .bpfview/id to a cgroup, by the depth of its directory
	kindGone                // any name in a removed cgroup's directory, see told.Stale; 1 is a link
	kindNone                // nothing; a child cgroup with a taken name is not listed
	kindView    kind = 16   // a view, and from here on its renderings, by the view's number
	kindUnion   kind = 40   // a union, in one of the renderings that unions have, by its number
)

const (
	cgroupBits = 40
	numberBits = openfiles.NumberBits
	maxNumber  = 1<<numberBits - 1
)

func (n node) id() uint64 {
	return n.cgroup | uint64(n.number)<<cgroupBits | uint64(n.kind)<<(cgroupBits+numberBits)
}

// ino returns the inode number that users see. A cgroup's directory has its number in cgroupfs. All others
// fit 32 bits, because stat(2) and readdir(3) of a 32-bit program without large files fail with EOVERFLOW
// otherwise. The kinds are spaced by the golden ratio, so that cgroups with ids less than some millions apart
// never get equal numbers. Equal numbers further apart do no harm, because find, tar, cp and rsync take files
// for one only if they have several links.
func (n node) ino() uint64 {
	if n.kind == kindCgroup {
		return n.cgroup
	}
	const spacing = 0x9e3779b9 // 2^32 divided by the golden ratio
	ino := uint32(n.cgroup) + uint32(n.cgroup>>32)*0x85ebca6b
	ino += (uint32(n.number)*32 + uint32(n.kind)) * spacing
	if n.isUnion() {
		ino ^= 0x27d4eb2f // its kind is above 32
	}
	return uint64(max(ino, 2)) // 0 is no inode to readdir(3), 1 the root
}

// Class is equal for nodes with about the same cost of OPEN: one view in one rendering, whatever the cgroup.
// The cost of a tree depends on its cgroup, so each is a class of its own.
func (f *FS) Class(node uint64) uint64 {
	n, err := f.node(node)
	if err != nil || (n.isView() || n.isUnion()) && n.rendering().isTree() {
		return node
	}
	n.cgroup = 0
	return n.id()
}

// parseNode returns the node of an id. unix.ESTALE means that no server of this version has given the id out.
func parseNode(id uint64) (node, error) {
	n := node{
		cgroup: id & (1<<cgroupBits - 1),
		number: int(id >> cgroupBits & maxNumber),
		kind:   kind(id >> (cgroupBits + numberBits)),
	}
	numbers := 1 // how many numbers the kind has
	switch {
	case n.kind == kindControl:
		numbers = len(controlDirs)
	case n.kind == kindInfo:
		numbers = len(infos)
	case n.kind == kindGone:
		numbers = 2
	case n.isView(), n.isUnion(), n.kind == kindID:
		numbers = maxNumber + 1
	case n.kind > kindGone:
		numbers = 0
	}
	if n.number >= numbers {
		return node{}, fmt.Errorf("node %#x is not known: %w", id, unix.ESTALE)
	}
	return n, nil
}

// isFile reports whether the node is a regular file.
func (n node) isFile() bool { return n.kind == kindInfo || n.isView() || n.isUnion() }

// isView reports whether the node is a view's file, in one of its renderings.
func (n node) isView() bool { return n.kind >= kindView && n.kind < kindView+kind(len(renderings)) }

// isUnion reports whether the node is the file of a union.
func (n node) isUnion() bool {
	return n.kind >= kindUnion && n.kind < kindUnion+kind(len(renderings)) &&
		Rendering(n.kind-kindUnion).ofUnions()
}

// rendering is the rendering of a view's file, or of a union's.
func (n node) rendering() Rendering {
	if n.isUnion() {
		return Rendering(n.kind - kindUnion)
	}
	return Rendering(n.kind - kindView)
}

func viewNode(cgroup uint64, number int, r Rendering) node {
	return node{cgroup: cgroup, kind: kindView + kind(r), number: number}
}

// checkCgroup refuses an id that does not fit a node id.
func checkCgroup(id uint64) error {
	if id>>cgroupBits != 0 {
		return fmt.Errorf("cgroup id %d has more than %d bits: %w", id, cgroupBits, unix.EOVERFLOW)
	}
	return nil
}
