package records

import (
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/internal/ctypes"
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
	s, err := ctypes.Named(types, name)
	if err != nil {
		return t, nil, err
	}
	plain := &btf.Struct{Name: s.Name, Size: s.Size}
	for _, m := range ctypes.Flat(s) {
		if slices.Contains(reserved, m.Name) {
			m.Name += "_"
		}
		m.Tags = slices.DeleteFunc(slices.Clone(m.Tags), func(tag string) bool { // of other programs
			name, _, _ := strings.Cut(tag, ":")
			_, ours := memberTags[name]
			return !ours
		})
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
