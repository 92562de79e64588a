package records

import (
	"regexp"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// A value's name is shown as it is in text, and in JSON and labels without an escape.
var valueName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// setEnum takes an enum, and its values are shown by their names. A prefix of all, up to the last underscore,
// is left out because only C needs it. For example TCP_SYN_SENT beside TCP_ESTABLISHED is syn_sent. An enum
// without values is a number.
func (c *column) setEnum(t *btf.Enum) error {
	c.size, c.negative = int(t.Size), t.Signed
	if len(t.Values) == 0 {
		return nil
	}
	c.kind, c.names = enumeration, make(map[uint64]string)
	prefix := t.Values[0].Name
	for _, v := range t.Values {
		if !valueName.MatchString(v.Name) {
			return errno.Errorf(unix.ENOEXEC,
				"value %q of an enum: a name is [A-Za-z_][A-Za-z0-9_]*", v.Name)
		}
		for !strings.HasPrefix(v.Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	prefix = prefix[:strings.LastIndexByte(prefix, '_')+1]
	for _, v := range t.Values {
		name := strings.ToLower(v.Name[len(prefix):])
		if _, twice := c.names[v.Value]; twice || name == "" {
			continue
		}
		c.names[v.Value] = name
		c.width = max(c.width, len(name))
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
