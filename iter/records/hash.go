package records

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// hash distinguishes record types. It is the first eight bytes of a SHA-256 over the record's size and, in
// order, each member's name, place and type, and the tags that change the meaning of its bytes. Help and
// width are left out.
func (r *record) hash() [8]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", r.size)
	for i := range r.columns {
		c := &r.columns[i]
		fmt.Fprintf(h, "%s %d %s key=%t optional=%t unit=%s metric=%s sum=%s",
			c.name, c.off, c.typeName(), slices.Contains(r.keys, i), c.optional, c.unit,
			c.metric, c.sumOf)
		for _, v := range slices.Sorted(maps.Keys(c.names)) {
			fmt.Fprintf(h, " %d=%s", v, c.names[v])
		}
		fmt.Fprintln(h)
	}
	return [8]byte(h.Sum(nil))
}

// typeName is the column's type, such as u32, s64, char[16], enum32 or histogram[26].
func (c *column) typeName() string {
	switch c.kind {
	case characters:
		return fmt.Sprintf("char[%d]", c.size)
	case histogram:
		return fmt.Sprintf("histogram[%d]", c.size/8)
	case address:
		return "address"
	case boolean:
		return "bool"
	case cgroupNumber:
		return "cgroup"
	case enumeration:
		return fmt.Sprintf("enum%d", 8*c.size)
	}
	if c.negative {
		return fmt.Sprintf("s%d", 8*c.size)
	}
	return fmt.Sprintf("u%d", 8*c.size)
}
