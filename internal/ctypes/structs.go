// Package ctypes has the structs and enums among the types of BPF objects.
package ctypes

import (
	"errors"
	"fmt"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Named finds a struct by its name, or by the name of a typedef. The name may begin with "struct ". The error
// wraps unix.EINVAL if the types have no such struct.
func Named(types *btf.Spec, name string) (*btf.Struct, error) {
	found, err := types.AnyTypesByName(strings.TrimPrefix(name, "struct "))
	if err != nil && !errors.Is(err, btf.ErrNotFound) {
		return nil, fmt.Errorf("record: look for struct %s: %w", name, err)
	}
	for _, t := range found {
		if s, ok := btf.UnderlyingType(t).(*btf.Struct); ok {
			return s, nil
		}
	}
	return nil, errno.Errorf(unix.EINVAL, "record: the program's types have no struct %s "+
		"(one that is on the stack alone is not among them: declare a global pointer to it)", name)
}

// Sized returns the names of all structs of a size in bytes, as far as the types can be read.
func Sized(types *btf.Spec, size int) (names []string) {
	if types == nil {
		return nil
	}
	for t, err := range types.All() {
		if err != nil {
			return names
		}
		if s, ok := t.(*btf.Struct); ok && s.Name != "" && int(s.Size) == size {
			names = append(names, s.Name)
		}
	}
	return names
}

// maxDepth is how deep Flat follows structs in structs.
const maxDepth = 8

// Flat returns the members of a struct. The members of a struct in it take its place and have its name and an
// underscore before theirs. Underscores at the begin of a name are left out.
func Flat(s *btf.Struct) []btf.Member { return flatten(nil, "", 0, s, 0) }

// flatten appends the members of s, which begins at off, to members.
func flatten(members []btf.Member, prefix string, off btf.Bits, s *btf.Struct, depth int) []btf.Member {
	for _, m := range s.Members {
		m.Name, m.Offset = prefix+strings.TrimLeft(m.Name, "_"), off+m.Offset
		inner, ok := btf.UnderlyingType(m.Type).(*btf.Struct)
		if !ok || depth == maxDepth {
			members = append(members, m)
			continue
		}
		below := m.Name + "_"
		if m.Name == prefix { // anonymous
			below = prefix
		}
		members = flatten(members, below, m.Offset, inner, depth+1)
	}
	return members
}
