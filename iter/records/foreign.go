package records

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// WithRecord is the type of a program that writes structs and has no tag that says which. name is the name of
// the struct in the program's types. A struct in the struct gives members OUTER_INNER. Members that cannot be
// shown are left out, and left says so.
func (t Type) WithRecord(types *btf.Spec, name string) (with Type, left []string, err error) {
	if t.record != nil || t.kind == "encoded" {
		return t, nil, errno.Errorf(unix.EINVAL, "record: the program itself says what it writes")
	}
	if types == nil {
		return t, nil, errno.Errorf(unix.EINVAL, "record: the program has no types")
	}
	s, err := structOf(types, name)
	if err != nil {
		return t, nil, err
	}
	plain := &btf.Struct{Name: s.Name, Size: s.Size}
	for _, m := range flatten(nil, "", 0, s, 0) {
		if _, _, err := newColumn(m); err != nil {
			left = append(left, fmt.Sprintf("left out of the record: %v", err))
			continue
		}
		plain.Members = append(plain.Members, m)
	}
	if t.record, err = newRecord(plain); err != nil {
		return t, left, fmt.Errorf("record: %w", err)
	}
	t.kind, t.version = "record", max(t.version, 1)
	return t, left, nil
}

// structOf finds a struct by its name, or by the name of a typedef.
func structOf(types *btf.Spec, name string) (*btf.Struct, error) {
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

// maxDepth is how deep structs in structs are followed.
const maxDepth = 8

// flatten appends the members of s, which begins at off, to members.
func flatten(members []btf.Member, prefix string, off btf.Bits, s *btf.Struct, depth int) []btf.Member {
	for _, m := range s.Members {
		m.Name, m.Offset = prefix+strings.TrimLeft(m.Name, "_"), off+m.Offset
		if inner, ok := btf.UnderlyingType(m.Type).(*btf.Struct); ok && depth < maxDepth {
			below := m.Name + "_"
			if m.Name == prefix { // anonymous
				below = prefix
			}
			members = flatten(members, below, m.Offset, inner, depth+1)
			continue
		}
		if slices.Contains(reserved, m.Name) {
			m.Name += "_"
		}
		m.Tags = slices.DeleteFunc(slices.Clone(m.Tags), func(tag string) bool { // of other programs
			name, _, _ := strings.Cut(tag, ":")
			_, ours := memberTags[name]
			return !ours
		})
		members = append(members, m)
	}
	return members
}

// Structs names structs of a size, of which a program may write one.
func Structs(types *btf.Spec, size int) (names []string) {
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
