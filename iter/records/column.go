package records

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/tags"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// column is one member. bpf/include/bpfview.h has its tags.
type column struct {
	name string
	kind columnKind
	off  int
	size int // bytes

	optional bool // all bits set means not available
	total    bool // added up over records with the same keys, which become one
	by       bool // totals of a cgroup are told apart by it
	added    bool // added up in the totals of a cgroup
	average  bool // over time, of a counter that the record has, too
	bare     bool // its metric has the name of the view alone
	unit     string
	metric   string // gauge or counter, "" if neither
	help     string

	negative bool              // a number that may be below zero
	names    map[uint64]string // of an enumeration's values
	sum      int               // of a histogram, the column that has the sum of its values, or -1
	sumOf    string            // the histogram that has this sum
	series   string            // its part of a metric's name, or ""
	heads    []string          // in text, of a histogram four

	// These follow from the fields above.
	at         int   // of a number: the eight bytes with it, see place
	shift      uint8 // to its last bit
	mask       uint64
	absent     uint64   // the value of a number that means not available, if it is optional
	firstNames []string // of an enumeration's smallest values
	in         baseunits.Unit
	key        string // in JSON, with the quotes and colon
	label      string // in Prometheus text, with the comma and opening quote
}

type columnKind uint8

const (
	integer columnKind = iota
	characters
	boolean
	enumeration
	histogram
	address
	cgroupNumber
)

// A member's name is a JSON key, a label and a part of a metric's name.
var memberName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// reserved names are used beside the members' names.
var reserved = []string{"cgroup", "cgroup_id", "record", "le"}

func newColumn(m btf.Member) (c column, key bool, err error) {
	c = column{name: m.Name, off: int(m.Offset.Bytes()), sum: -1}
	switch {
	case m.Name == "" || m.BitfieldSize != 0 || m.Offset%8 != 0:
		return c, false, errno.Errorf(unix.ENOEXEC,
			"member %q: bit fields and anonymous members are not supported", m.Name)
	case !memberName.MatchString(m.Name) || slices.Contains(reserved, m.Name):
		return c, false, errno.Errorf(unix.ENOEXEC,
			"member %q: a name is [A-Za-z][A-Za-z0-9_]*, and none of %s",
			m.Name, strings.Join(reserved, ", "))
	}
	tags, err := tags.Read(m.Tags, memberTags)
	if err != nil {
		return c, false, fmt.Errorf("member %s: %w", m.Name, err)
	}
	has := func(tag string) bool { _, ok := tags[tag]; return ok }
	c.optional, c.total, key = has("optional"), has("total"), has("key")
	c.by, c.added, c.average = has("by"), has("add"), has("average")
	c.unit, c.sumOf, c.help = tags["unit"], tags["sum"], tags["help"]
	if err := c.setType(btf.UnderlyingType(m.Type), tags["kind"]); err != nil {
		return c, false, fmt.Errorf("member %s: %w", m.Name, err)
	}
	if err := c.checkTags(tags["kind"], key); err != nil {
		return c, false, fmt.Errorf("member %s: %w", m.Name, err)
	}
	c.absent = c.extend(1<<(8*min(c.size, 8))-1, 64-8*uint(min(c.size, 8)))
	c.in, c.key, c.label = baseunits.Units[c.unit], `"`+c.name+`":`, ","+c.name+`="`
	return c, key, nil
}

// setType takes integers, enums and arrays of char, and other arrays if a kind is given.
func (c *column) setType(t btf.Type, class string) error {
	switch class {
	case "histogram":
		return c.setHistogram(t)
	case "address":
		return c.setAddress(t)
	case "gauge", "counter":
		c.metric = class
	case "", "cgroup":
	default:
		return errno.Errorf(unix.ENOEXEC,
			"kind %q is none of gauge, counter, histogram, address, cgroup",
			class)
	}
	switch t := t.(type) {
	case *btf.Int:
		c.size = int(t.Size)
		switch {
		case t.Encoding == btf.Bool:
			c.kind = boolean
		case t.Encoding == btf.Char || t.Name == "char":
			c.kind = characters
			return nil
		case class == "cgroup" && t.Size == 8:
			c.kind = cgroupNumber
		}
		c.negative = t.Encoding == btf.Signed
	case *btf.Enum:
		if err := c.setEnum(t); err != nil {
			return err
		}
		if c.kind == enumeration {
			return nil
		}
	case *btf.Array:
		n, ok := arrayOf(t, 1)
		if !ok {
			return errno.Errorf(unix.ENOEXEC,
				"an array of anything but char needs a kind, histogram or address")
		}
		c.kind, c.size = characters, n
		return nil
	default:
		return errno.Errorf(unix.ENOEXEC, "type %v is not supported", t)
	}
	if !slices.Contains([]int{1, 2, 4, 8}, c.size) {
		return errno.Errorf(unix.ENOEXEC, "an integer of %d bytes is not supported", c.size)
	}
	return nil
}

// arrayOf gives the length of an array of integers of size bytes.
func arrayOf(t btf.Type, size uint32) (int, bool) {
	a, ok := t.(*btf.Array)
	if !ok || a.Nelems == 0 || a.Nelems > maxRecord {
		return 0, false
	}
	element, ok := btf.UnderlyingType(a.Type).(*btf.Int)
	return int(a.Nelems), ok && element.Size == size
}

// bytes are the column's bytes in one record.
func (c *column) bytes(rec []byte) []byte { return rec[c.off : c.off+c.size] }

// value is a number of one record, sign extended to 64 bits.
func (c *column) value(rec []byte) uint64 {
	if c.mask == 0 {
		return c.small(rec)
	}
	return binary.NativeEndian.Uint64(rec[c.at:]) >> c.shift & c.mask
}

// small is value for the numbers that place has left out. It is apart, so that value is no call.
func (c *column) small(rec []byte) uint64 {
	switch b := rec[c.off:]; c.size {
	case 1:
		return c.extend(uint64(b[0]), 56)
	case 2:
		return c.extend(uint64(binary.NativeEndian.Uint16(b)), 48)
	case 4:
		return c.extend(uint64(binary.NativeEndian.Uint32(b)), 32)
	default:
		return binary.NativeEndian.Uint64(b)
	}
}

// place finds eight bytes of a record of size bytes that have the number in them. So the sizes of numbers need
// no look while records are shown.
func (c *column) place(size int) {
	if c.size > 8 || size < 8 || c.negative {
		return
	}
	c.at = min(c.off, size-8)
	c.mask, c.shift = 1<<(8*c.size)-1, uint8(8*(c.off-c.at))
	if bigEndian {
		c.shift = uint8(64-8*c.size) - c.shift
	}
}

func (c *column) extend(v uint64, unused uint) uint64 {
	if c.negative {
		return uint64(int64(v<<unused) >> unused)
	}
	return v
}

// same reports whether a column is shown alike in two records. A histogram counts as different, because it is
// shown with its sum.
func (c *column) same(a, b []byte) bool {
	if c.mask != 0 {
		return c.value(a) == c.value(b)
	}
	return c.kind != histogram && bytes.Equal(c.bytes(a), c.bytes(b))
}

// appendNumber appends a number of one record.
func (c *column) appendNumber(dst, rec []byte) []byte {
	v := c.value(rec)
	if c.negative && int64(v) < 0 {
		dst, v = append(dst, '-'), -v
	}
	return decimal.Append(dst, v)
}

// appendPlain appends the value of a column without text. It is an address, the name of a value, or a number.
func (c *column) appendPlain(dst, rec []byte) []byte {
	switch c.kind {
	case address:
		return c.appendAddress(dst, rec)
	case enumeration:
		if name := c.enumName(rec); name != "" {
			return append(dst, name...)
		}
	}
	return c.appendNumber(dst, rec)
}

// characters is a text column of one record, to its first NUL.
func (c *column) characters(rec []byte) []byte {
	b := c.bytes(rec)
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// missing tells whether an optional column has no value.
func (c *column) missing(rec []byte) bool {
	switch {
	case !c.optional:
		return false
	case c.size <= 8 && c.kind != characters:
		return c.value(rec) == c.absent
	}
	for _, b := range c.bytes(rec) {
		if b != 0xff {
			return false
		}
	}
	return true
}

// setAddress takes sixteen bytes. They are an IPv6 address, or an IPv4 one as ::ffff:a.b.c.d.
func (c *column) setAddress(t btf.Type) error {
	if n, ok := arrayOf(t, 1); !ok || n != 16 {
		return errno.Errorf(unix.ENOEXEC, "type %v is no address, which is __u8[16]", t)
	}
	c.kind, c.size = address, 16
	return nil
}

// appendAddress appends an address in its usual form.
func (c *column) appendAddress(dst, rec []byte) []byte {
	return netip.AddrFrom16([16]byte(c.bytes(rec))).Unmap().AppendTo(dst)
}
