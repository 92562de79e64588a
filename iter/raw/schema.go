package raw

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Schema describes the records of a view. It is the part of .bpfview/schema/VIEW.json that a reader needs.
type Schema struct {
	View    string
	Version uint32
	Hash    string
	Size    int // of a record in bytes
	Members []Member
}

// Member is one value of a record.
type Member struct {
	Name     string
	Offset   int
	Size     int               // in bytes
	Type     string            // u32, s64, bool, char[16], address, cgroup, enum32, histogram[27] and so on
	Unit     string            // ns, us, bytes, pages, ppm, or ""
	Key      bool              // identifies the record
	Optional bool              // all bits set: not available
	Values   map[string]string // of an enum: the names by the numbers
}

// ParseSchema reads a schema.
func ParseSchema(text []byte) (*Schema, error) {
	s := new(Schema)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	for _, m := range s.Members {
		if m.Offset < 0 || m.Size < 1 || m.Offset+m.Size > s.Size {
			return nil, fmt.Errorf("read the schema: member %s is beyond the record", m.Name)
		}
	}
	return s, nil
}

// Of reports whether the schema describes the output. A view that was replaced between the two reads may have
// other records.
func (s *Schema) Of(o *Output) bool { return s.Hash == o.Hash && s.Size == o.Size }

// Value gives a member of a record of o:
//
//	u8 to u64, cgroup   uint64
//	s8 to s64           int64
//	bool                bool
//	char[N]             string, up to the first NUL; its bytes need not be UTF-8
//	address             netip.Addr
//	enum8 to enum64     string, or a number if the value has no name
//	histogram[N]        []uint64
//
// The value is nil if it is not available, or if this package does not know the type.
func (s *Schema) Value(o *Output, record []byte, m *Member) any {
	b := record[m.Offset : m.Offset+m.Size]
	if m.Optional && len(bytes.Trim(b, "\xff")) == 0 {
		return nil
	}
	kind, _, _ := strings.Cut(strings.TrimRight(m.Type, "0123456789"), "[")
	switch kind {
	case "char":
		text, _, _ := bytes.Cut(b, []byte{0})
		return string(text)
	case "address":
		if len(b) != 16 {
			return nil
		}
		return netip.AddrFrom16([16]byte(b)).Unmap()
	case "histogram":
		slots := make([]uint64, len(b)/8)
		for i := range slots {
			slots[i] = o.order().Uint64(b[8*i:])
		}
		return slots
	}
	n, ok := number(o, b)
	signed := int64(n<<(64-8*len(b))) >> (64 - 8*len(b))
	switch {
	case !ok:
		return nil
	case kind == "bool":
		return n != 0
	case kind == "s":
		return signed
	case kind == "enum":
		if name := m.Values[strconv.FormatUint(n, 10)]; name != "" {
			return name
		}
		if name := m.Values[strconv.FormatInt(signed, 10)]; name != "" {
			return name
		}
		return n
	case kind == "u", kind == "cgroup":
		return n
	}
	return nil
}

func number(o *Output, b []byte) (n uint64, ok bool) {
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(o.order().Uint16(b)), true
	case 4:
		return uint64(o.order().Uint32(b)), true
	case 8:
		return o.order().Uint64(b), true
	}
	return 0, false
}
