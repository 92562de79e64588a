package trees

import (
	"strings"
	"testing"
)

// The owner of a cgroup may make any depth below it. The cost of reading a tree grows with the depth, not
// with its square.
func TestDeepTree(t *testing.T) {
	const depth = 5000
	var tree Tree
	name := strings.Repeat("d", 255)
	at := tree.Add(1, 0, ".")
	for i := range depth {
		at = tree.Add(uint64(2+i), at, name)
	}
	if got, want := string(tree.Path(at)), strings.Repeat(name+"/", depth-1)+name; got != want {
		t.Errorf("a path of %d bytes, want %d", len(got), len(want))
	}
	if got := string(tree.Path(0)); got != "." {
		t.Errorf("the first is called %q", got)
	}
	if kept := cap(tree.names) + cap(tree.whole); kept > 10*depth*len(name) {
		t.Errorf("%d bytes are kept for %d names", kept, depth)
	}
}

// A name that is escaped anywhere makes the tree special, also one that shares its cgroups.
func TestPlain(t *testing.T) {
	var tree Tree
	tree.Add(1, 0, ".")
	tree.Add(2, 0, "user-1000.slice")
	if !tree.Plain() {
		t.Error("simple names are special")
	}
	for _, name := range []string{"a b", `a\x2db`, "a\nb", `a"b`, "\u00e9", "\xff", "\x7f"} {
		special := tree
		special.Add(3, 0, name)
		var other Tree
		other.Share(&special)
		if special.Plain() || other.Plain() {
			t.Errorf("%q is plain", name)
		}
		if other.Reset(); !other.Plain() || other.Len() > 0 {
			t.Errorf("%q is in an empty tree", name)
		}
	}
}
