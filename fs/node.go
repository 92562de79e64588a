package fs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A node is what a FUSE node id stands for. The id alone says it, so that the server needs no table of them and the
// next server understands the ids that the kernel got from this one:
//
//	63        52 51     43 42  39 38                 0
//	[generation][ number ][ kind ][    cgroup id     ]
//
// A cgroup's directory has kind, number and generation 0: its node id is the cgroup's id.
//
// kernfs makes an id of a 32-bit index and, above it, how often the indices wrapped around: 39 bits
// last for 10^11 cgroups made and removed since boot. A larger id gives EOVERFLOW, not somebody else's node.
type node struct {
	cgroup     uint64
	kind       kind
	number     int // of the view, or of the control directory or file
	generation int // which of several nodes for the same file: see nodes
}

type kind uint8

// A later server meets the ids that this one gave out: add to these, change none.
const (
	kindCgroup  kind = iota // the directory of a cgroup
	kindControl             // a directory below .bpfview: number is its place in controlDirs
	kindLink                // a link in .bpfview/cgroup that leads to the cgroup's own directory
	kindInfo                // a file below .bpfview: number is its place in infos
	kindSelf                // the link .bpfview/self, to the caller's own cgroup
	kindID                  // a link in .bpfview/id to a cgroup: number is the depth of the directory it is in
	kindView                // a view, and from here on its renderings, in their order: number is the view's
	kindNone    kind = 15   // nothing: a child cgroup whose name is taken is not listed
)

const (
	cgroupBits     = 39
	kindBits       = 4
	numberBits     = 9
	generationBits = 12

	maxNumber      = 1<<numberBits - 1
	maxGeneration  = 1<<generationBits - 1
	generationUnit = 1 << (cgroupBits + kindBits + numberBits)
)

func (n node) id() uint64 {
	return n.cgroup | (uint64(n.kind)|(uint64(n.number)|uint64(n.generation)<<numberBits)<<kindBits)<<cgroupBits
}

// ino is the inode number that users see: the same for all generations.
func (n node) ino() uint64 {
	n.generation = 0
	return n.id()
}

func parseNode(id uint64) node {
	return node{
		cgroup:     id & (1<<cgroupBits - 1),
		kind:       kind(id >> cgroupBits & (1<<kindBits - 1)),
		number:     int(id >> (cgroupBits + kindBits) & maxNumber),
		generation: int(id >> (cgroupBits + kindBits + numberBits)),
	}
}

func (n node) isDir() bool { return n.kind == kindCgroup || n.kind == kindControl }

// isView tells whether the node is a view's file, in one of its renderings.
func (n node) isView() bool { return n.kind >= kindView && n.kind < kindView+kind(len(renderings)) }

func (n node) rendering() Rendering { return Rendering(n.kind - kindView) }

func viewNode(cgroup uint64, number int, r Rendering) node {
	return node{cgroup: cgroup, kind: kindView + kind(r), number: number}
}

// checkCgroup refuses an id that a node id has no room for.
func checkCgroup(id uint64) error {
	if id>>cgroupBits != 0 {
		return fmt.Errorf("cgroup id %d has more than %d bits: %w", id, cgroupBits, unix.EOVERFLOW)
	}
	return nil
}
