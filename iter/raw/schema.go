package raw

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// ErrSchema is wrapped by the errors of output that a schema does not describe. The view was replaced after
// the schema was read: read it again.
var ErrSchema = errors.New("records of another type than the schema's")

// Schema describes the records of a view. It is the content of .bpfview/schema/VIEW.json.
type Schema struct {
	View    string
	Help    string
	Version uint32
	Hash    string
	Order   string `json:"byte_order"` // little or big
	Size    int    // of a record in bytes
	// Textfile says which metrics .bpfview/textfile has of the view: "rows" for those of all its records
	// without averages, "all" for those of .bpfview/prom, "totals", or "" for none.
	Textfile  string
	MaxSeries int `json:"max_series"` // the most samples that it may have
	Members   []Member
}

// Member is one value of a record.
type Member struct {
	Name     string
	Offset   int
	Size     int    // in bytes
	Type     string // u32, s64, bool, char[16], address, cgroup, enum32, histogram[27] and so on
	Kind     string // gauge, counter, or ""
	Unit     string // ns, us, bytes, pages, ppm, or ""
	Key      bool   // identifies the record
	Optional bool   // all bits set: not available
	SumOf    string `json:"sum_of"` // the histogram that has this sum, or ""
	Average  bool   // over time, of a counter that the record has, too
	Metric   string // its name in Prometheus text, or ""
	Help     string
	Values   map[string]string // of an enum: the names by the numbers

	order binary.ByteOrder
}

// ParseSchema reads a schema.
func ParseSchema(text []byte) (*Schema, error) {
	s := new(Schema)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if s.View == "" || s.Size <= 0 {
		return nil, fmt.Errorf("read the schema: %w: it has no view or no size", ErrFormat)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if s.Order == "big" {
		order = binary.BigEndian
	}
	for i := range s.Members {
		m := &s.Members[i]
		if m.Offset < 0 || m.Size < 1 || m.Size > s.Size-m.Offset {
			return nil, fmt.Errorf("read the schema: %w: member %s is beyond the record", ErrFormat, m.Name)
		}
		m.order = order
	}
	return s, nil
}

// Member returns the member of a name, or nil.
func (s *Schema) Member(name string) *Member {
	for i := range s.Members {
		if s.Members[i].Name == name {
			return &s.Members[i]
		}
	}
	return nil
}

// Record returns the i-th of some records.
func (s *Schema) Record(records []byte, i int) []byte { return records[i*s.Size:][:s.Size] }

// Parse is [Parse] for output that the schema describes. Any other is ErrSchema.
func (s *Schema) Parse(b []byte) (*Output, error) {
	o, err := Parse(b)
	if err == nil && (s.Hash != o.Hash || s.Size != o.Size) {
		return nil, s.foreign()
	}
	return o, err
}

// Each calls f for each cgroup of the output of one view, until f returns false. It allocates nothing. The
// path and the whole records share the memory of b. An error may come after some calls.
func (s *Schema) Each(b []byte, f func(cgroup uint64, path, records []byte) bool) error {
	h, body, rest, err := split(b)
	if err == nil {
		err = atEnd(rest)
	}
	if err != nil {
		return err
	}
	var hash [16]byte
	hex.Encode(hash[:], h.hash)
	if string(hash[:]) != s.Hash || h.size != s.Size {
		return s.foreign()
	}
	return h.each(body, f)
}

func (s *Schema) foreign() error { return fmt.Errorf("read view %s: %w", s.View, ErrSchema) }

// Missing reports whether the value is not available.
func (m *Member) Missing(record []byte) bool {
	if !m.Optional {
		return false
	}
	for _, b := range record[m.Offset:][:m.Size] {
		if b != 0xff {
			return false
		}
	}
	return true
}

// IsNumber reports whether Uint or Int return the value.
func (m *Member) IsNumber() bool {
	return (strings.HasPrefix(m.Type, "u") || m.Signed() || m.Type == "cgroup") && m.Size <= 8
}

// Signed reports whether Int returns the value.
func (m *Member) Signed() bool { return strings.HasPrefix(m.Type, "s") }

// IsHistogram reports whether Slots returns the value.
func (m *Member) IsHistogram() bool { return strings.HasPrefix(m.Type, "histogram") }

// Uint returns a number without a sign, the number of an enum's value, or 0 for other types.
func (m *Member) Uint(record []byte) uint64 {
	switch b := record[m.Offset:]; m.Size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(m.order.Uint16(b))
	case 4:
		return uint64(m.order.Uint32(b))
	case 8:
		return m.order.Uint64(b)
	}
	return 0
}

// Int returns a number with a sign.
func (m *Member) Int(record []byte) int64 {
	shift := 64 - 8*uint(m.Size)
	return int64(m.Uint(record)<<shift) >> shift
}

// Slots returns the counts of a histogram, nil for other types. Slot i counts values below 2^(i+1) that no
// lower slot counts. The last one has all above, too.
func (m *Member) Slots(record []byte) []uint64 {
	if !m.IsHistogram() {
		return nil
	}
	slots := make([]uint64, m.Size/8)
	for i := range slots {
		slots[i] = m.order.Uint64(record[m.Offset+8*i:])
	}
	return slots
}

// Value returns the member of a record:
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
func (m *Member) Value(record []byte) any {
	b := record[m.Offset:][:m.Size]
	kind, _, _ := strings.Cut(strings.TrimRight(m.Type, "0123456789"), "[")
	number := m.Size == 1 || m.Size == 2 || m.Size == 4 || m.Size == 8
	switch {
	case m.Missing(record):
		return nil
	case kind == "char":
		text, _, _ := bytes.Cut(b, []byte{0})
		return string(text)
	case kind == "address" && len(b) == 16:
		return netip.AddrFrom16([16]byte(b)).Unmap()
	case kind == "histogram":
		return m.Slots(record)
	case !number:
		return nil
	case kind == "bool":
		return m.Uint(record) != 0
	case kind == "s":
		return m.Int(record)
	case kind == "enum":
		if name := m.Values[strconv.FormatUint(m.Uint(record), 10)]; name != "" {
			return name
		}
		if name := m.Values[strconv.FormatInt(m.Int(record), 10)]; name != "" {
			return name
		}
		return m.Uint(record)
	case kind == "u", kind == "cgroup":
		return m.Uint(record)
	}
	return nil
}

// Percentile returns the value that a part of all counted values are at or below, as if the values of a slot
// were spread evenly over it. ok is false if nothing was counted.
func Percentile(slots []uint64, part float64) (value float64, ok bool) {
	var all float64
	for _, n := range slots {
		all += float64(n)
	}
	below, rank := 0.0, part*all
	for i, n := range slots {
		if n == 0 {
			continue
		}
		lower, upper := 0.0, math.Ldexp(1, i+1)
		if i > 0 {
			lower = math.Ldexp(1, i)
		}
		if below+float64(n) >= rank {
			return lower + (upper-lower)*(rank-below)/float64(n), true
		}
		below += float64(n)
		value, ok = upper, true
	}
	return value, ok
}
