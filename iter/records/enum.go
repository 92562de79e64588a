package records

import (
	"bpfviewfs/internal/ctypes"
	"github.com/cilium/ebpf/btf"
)

// setEnum takes an enum, and its values are shown by their names. An enum without values is a number.
func (c *column) setEnum(t *btf.Enum) (err error) {
	c.size, c.negative = int(t.Size), t.Signed
	if len(t.Values) == 0 {
		return nil
	}
	c.kind = enumeration
	if c.names, err = ctypes.Values(t); err != nil {
		return err
	}
	c.listNames()
	return nil
}

// listNames lists the names of the values below 256. Most enumerations have no other.
func (c *column) listNames() {
	const most = 256
	for v := range uint64(most) {
		if name, ok := c.names[v]; ok {
			c.firstNames = append(c.firstNames, make([]string, int(v)-len(c.firstNames))...)
			c.firstNames = append(c.firstNames, name)
		}
	}
}

// enumName is the name of one record's value, or "" if the value has none.
func (c *column) enumName(rec []byte) string {
	v := c.value(rec)
	if v < uint64(len(c.firstNames)) {
		return c.firstNames[v]
	}
	return c.names[v]
}
