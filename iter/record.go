package iter

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// record is the format of a record view's output: structs one after the other, as the program's BTF describes them.
type record struct {
	name    string
	size    int
	columns []column
	keys    []int // columns that identify a record, in order
}

// column is one member. Its tags are those of bpf/bpfview.h.
type column struct {
	name string
	kind columnKind
	off  int
	size int // bytes

	optional bool // all bits set: not available
	width    int  // characters in text
	unit     string
	metric   string // gauge or counter, "" if neither
	help     string
}

type columnKind uint8

const (
	unsigned columnKind = iota
	signed
	characters
)

const (
	recordTag = "bpfview:record"
	maxRecord = 32 << 10 // what the kernel takes of one object
)

// findRecord finds the record that a program writes: what the last parameter of the function tagged "bpfview:record"
// points to. It is nil for a text view. The types are an object's, or a loaded program's: the loader keeps the
// function's parameter types, tags and all, because the program calls the function.
func findRecord(types *btf.Spec) (*record, error) {
	var found *record
	for t, err := range types.All() {
		if err != nil {
			return nil, fmt.Errorf("read the types: %w (%w)", err, unix.ENOEXEC)
		}
		f, ok := t.(*btf.Func)
		if !ok || !slices.Contains(f.Tags, recordTag) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("two functions are tagged %s: %w", recordTag, unix.ENOEXEC)
		}
		if found, err = recordOf(f); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func recordOf(f *btf.Func) (*record, error) {
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return nil, fmt.Errorf("function %s is tagged %s and has no record parameter: %w", f.Name, recordTag, unix.ENOEXEC)
	}
	pointer, ok := btf.UnderlyingType(proto.Params[len(proto.Params)-1].Type).(*btf.Pointer)
	if !ok {
		return nil, fmt.Errorf("function %s: its last parameter is no pointer to a record: %w", f.Name, unix.ENOEXEC)
	}
	s, ok := btf.UnderlyingType(pointer.Target).(*btf.Struct)
	if !ok {
		return nil, fmt.Errorf("function %s: its last parameter points to no struct: %w", f.Name, unix.ENOEXEC)
	}
	return newRecord(s)
}

func newRecord(s *btf.Struct) (*record, error) {
	if s.Size == 0 || s.Size > maxRecord {
		return nil, fmt.Errorf("record struct %s has %d bytes, not 1 to %d: %w", s.Name, s.Size, maxRecord, unix.ENOEXEC)
	}
	r := &record{name: s.Name, size: int(s.Size)}
	for _, m := range s.Members {
		c, key, err := newColumn(m)
		if err != nil {
			return nil, fmt.Errorf("record struct %s: %w", s.Name, err)
		}
		if c.off+c.size > r.size {
			return nil, fmt.Errorf("record struct %s: member %s is beyond its end: %w", s.Name, c.name, unix.ENOEXEC)
		}
		if key {
			r.keys = append(r.keys, len(r.columns))
		}
		r.columns = append(r.columns, c)
	}
	if len(r.columns) == 0 {
		return nil, fmt.Errorf("record struct %s has no members: %w", s.Name, unix.ENOEXEC)
	}
	return r, nil
}

func newColumn(m btf.Member) (c column, key bool, err error) {
	c = column{name: m.Name, off: int(m.Offset.Bytes())}
	if m.Name == "" || m.BitfieldSize != 0 || m.Offset%8 != 0 {
		return c, false, fmt.Errorf("member %q: bit fields and anonymous members are not supported: %w", m.Name, unix.ENOEXEC)
	}
	if err := c.setType(btf.UnderlyingType(m.Type)); err != nil {
		return c, false, fmt.Errorf("member %s: %w", m.Name, err)
	}
	for _, tag := range m.Tags {
		name, value, _ := strings.Cut(tag, ":")
		switch name {
		case "key":
			key = true
		case "optional":
			c.optional = true
		case "unit":
			c.unit = value
		case "kind":
			c.metric = value
		case "help":
			c.help = value
		case "width":
			if c.width, err = strconv.Atoi(value); err != nil || c.width < 1 || c.width > maxWidth {
				return c, false, fmt.Errorf("member %s: tag %q is no width of 1 to %d: %w", m.Name, tag, maxWidth, unix.ENOEXEC)
			}
		}
	}
	c.width = min(max(c.width, len(c.name)), maxWidth)
	return c, key, nil
}

// setType takes integers, enums, and arrays of char; a width of its own for each.
func (c *column) setType(t btf.Type) error {
	switch t := t.(type) {
	case *btf.Int:
		c.size = int(t.Size)
		switch {
		case t.Encoding == btf.Char || t.Name == "char":
			c.kind, c.width = characters, 1
			return nil
		case t.Encoding == btf.Signed:
			c.kind = signed
		}
	case *btf.Enum:
		c.size = int(t.Size)
		if t.Signed {
			c.kind = signed
		}
	case *btf.Array:
		element, ok := btf.UnderlyingType(t.Type).(*btf.Int)
		if !ok || element.Size != 1 || t.Nelems == 0 || t.Nelems > maxRecord {
			return fmt.Errorf("an array of anything but char is not supported yet: %w", unix.ENOEXEC)
		}
		c.kind, c.size, c.width = characters, int(t.Nelems), max(1, int(t.Nelems)-1)
		return nil
	default:
		return fmt.Errorf("type %v is not supported yet: %w", t, unix.ENOEXEC)
	}
	width, ok := map[int]int{1: 3, 2: 5, 4: 10, 8: 12}[c.size]
	if !ok {
		return fmt.Errorf("an integer of %d bytes is not supported: %w", c.size, unix.ENOEXEC)
	}
	c.width = width
	return nil
}

// value is an integer column of one record, sign extended to 64 bits.
func (c *column) value(rec []byte) uint64 {
	b := rec[c.off : c.off+c.size]
	switch c.size {
	case 1:
		return extend(c.kind, uint64(b[0]), 56)
	case 2:
		return extend(c.kind, uint64(binary.NativeEndian.Uint16(b)), 48)
	case 4:
		return extend(c.kind, uint64(binary.NativeEndian.Uint32(b)), 32)
	default:
		return binary.NativeEndian.Uint64(b)
	}
}

func extend(kind columnKind, v uint64, unused uint) uint64 {
	if kind == signed {
		return uint64(int64(v<<unused) >> unused)
	}
	return v
}

// characters is a text column of one record, to its first NUL.
func (c *column) characters(rec []byte) []byte {
	b := rec[c.off : c.off+c.size]
	if i := slices.Index(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// missing tells whether an optional column has no value.
func (c *column) missing(rec []byte) bool {
	if !c.optional {
		return false
	}
	for _, b := range rec[c.off : c.off+c.size] {
		if b != 0xff {
			return false
		}
	}
	return true
}
