// Package decode reads raw renderings of record views by their schema, as any program outside could. The
// layouts are those of records.RawHeader and of the file schema/VIEW.json.
package decode

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
	"time"
)

// Schema describes the records of a view.
type Schema struct {
	View    string   `json:"view"`
	Help    string   `json:"help"`
	Version uint32   `json:"version"`
	Hash    string   `json:"hash"`
	Order   string   `json:"byte_order"`
	Size    int      `json:"size"` // of a record in bytes
	Members []Member `json:"members"`
}

// Member is one value of a record.
type Member struct {
	Name     string            `json:"name"`
	Offset   int               `json:"offset"`
	Size     int               `json:"size"`
	Type     string            `json:"type"`
	Kind     string            `json:"kind"` // gauge, counter or ""
	Unit     string            `json:"unit"`
	Key      bool              `json:"key"`
	Optional bool              `json:"optional"` // all bits set means not available
	SumOf    string            `json:"sum_of"`
	Metric   string            `json:"metric"`
	Help     string            `json:"help"`
	Names    map[string]string `json:"values"` // of an enum, by number

	order binary.ByteOrder
}

// ErrForeign means that bytes are no raw rendering of the schema's view.
var ErrForeign = errors.New("not the raw bytes of this view")

// ParseSchema reads the content of a file schema/VIEW.json.
func ParseSchema(text []byte) (*Schema, error) {
	s := new(Schema)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read a schema: %w", err)
	}
	if s.View == "" || s.Size <= 0 {
		return nil, fmt.Errorf("read a schema: it names no view or no size: %w", ErrForeign)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if s.Order == "big" {
		order = binary.BigEndian
	}
	for i := range s.Members {
		m := &s.Members[i]
		if m.Offset < 0 || m.Size <= 0 || m.Size > s.Size-m.Offset {
			return nil, fmt.Errorf("read the schema of %s: member %s is outside the record: %w",
				s.View, m.Name, ErrForeign)
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

func (s *Schema) byteOrder() binary.ByteOrder {
	if s.Order == "big" {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// Run is one run of a view.
type Run struct {
	Schema *Schema
	Time   time.Time
	Tree   bool
	Frames []Frame // of each cgroup; without a tree one, with the path "."
}

// Frame is the part of a run that is about one cgroup.
type Frame struct {
	Cgroup  uint64 // id
	Path    string // relative to the cgroup that was asked for, "." for itself
	Records []byte
}

const header = 32

// Parse takes a raw rendering apart. The frames share its memory.
func (s *Schema) Parse(raw []byte, at time.Time) (*Run, error) {
	run := &Run{Schema: s, Time: at}
	err := s.Each(raw, func(cgroup uint64, path, records []byte) bool {
		run.Frames = append(run.Frames, Frame{cgroup, string(path), records})
		return true
	})
	if len(raw) > 7 {
		run.Tree = raw[7]&2 != 0
	}
	return run, err
}

// Each calls each for every cgroup of a raw rendering, until that returns false. It allocates nothing.
func (s *Schema) Each(raw []byte, each func(cgroup uint64, path, records []byte) bool) error {
	order := s.byteOrder()
	foreign := func(what string) error {
		return fmt.Errorf("raw bytes of %s: %s: %w", s.View, what, ErrForeign)
	}
	if len(raw) < header || string(raw[:4]) != "BPFV" || raw[6] != 1 {
		return foreign("no header")
	}
	size, flags := int(order.Uint16(raw[4:])), raw[7]
	if size < header || size > len(raw) {
		return foreign("no header")
	}
	if hex.EncodeToString(raw[16:24]) != s.Hash || int(order.Uint32(raw[8:])) != s.Size {
		return foreign("records of another type, because the view was replaced")
	}
	cgroup, rest := order.Uint64(raw[24:]), raw[size:]
	if flags&2 == 0 {
		if len(rest)%s.Size != 0 {
			return foreign("it ends within a record")
		}
		each(cgroup, dot, rest)
		return nil
	}
	for len(rest) > 0 {
		if len(rest) < 16 {
			return foreign("it ends within a frame")
		}
		length, count := uint64(order.Uint32(rest[8:])), uint64(order.Uint32(rest[12:]))
		begin := 16 + (length+7)/8*8
		end := begin + count*uint64(s.Size)
		if end > uint64(len(rest)) {
			return foreign("it ends within a frame")
		}
		if !each(order.Uint64(rest), rest[16:16+length], rest[begin:end]) {
			return nil
		}
		rest = rest[min((end+7)/8*8, uint64(len(rest))):]
	}
	return nil
}

var dot = []byte(".")

// Record is the i-th of some records.
func (s *Schema) Record(records []byte, i int) []byte { return records[i*s.Size:][:s.Size] }

// Missing reports whether the kernel did not provide the value.
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

// IsNumber reports whether Uint or Int give the value.
func (m *Member) IsNumber() bool {
	return (strings.HasPrefix(m.Type, "u") || strings.HasPrefix(m.Type, "s") || m.Type == "cgroup") &&
		m.Size <= 8
}

// Signed reports whether the value is a signed number.
func (m *Member) Signed() bool { return strings.HasPrefix(m.Type, "s") }

// Uint is a number without a sign, an enum's number, or 0 for other types.
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

// Int is a number with a sign.
func (m *Member) Int(record []byte) int64 {
	shift := 64 - 8*uint(m.Size)
	return int64(m.Uint(record)<<shift) >> shift
}

// Slots are the counts of a histogram. Slot i counts values below 2^(i+1).
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

// IsHistogram reports whether Slots gives the value.
func (m *Member) IsHistogram() bool { return strings.HasPrefix(m.Type, "histogram") }

// Text is the value for people, with escapes for characters that a terminal would obey. Numbers are exact.
func (m *Member) Text(record []byte) string {
	b := record[m.Offset:][:m.Size]
	switch {
	case m.Missing(record):
		return "-"
	case m.Type == "bool":
		return strconv.FormatBool(b[0] != 0)
	case m.Type == "address":
		return netip.AddrFrom16([16]byte(b)).Unmap().String()
	case strings.HasPrefix(m.Type, "char"):
		text, _, _ := bytes.Cut(b, []byte{0})
		return Escape(string(text))
	case strings.HasPrefix(m.Type, "enum"):
		number := strconv.FormatUint(m.Uint(record), 10)
		if name, ok := m.Names[number]; ok {
			return name
		}
		if name, ok := m.Names[strconv.FormatInt(m.Int(record), 10)]; ok {
			return name
		}
		return number
	case m.IsHistogram():
		return ""
	case !m.IsNumber():
		return hex.EncodeToString(b)
	case m.Signed():
		return strconv.FormatInt(m.Int(record), 10)
	}
	return strconv.FormatUint(m.Uint(record), 10)
}

// Escape writes characters that a terminal obeys, blanks, and bytes that are no UTF-8 as \xNN.
func Escape(s string) string {
	plain := true
	for _, r := range s {
		plain = plain && r > ' ' && r != 0x7f && (r < 0x80 || strconv.IsPrint(r)) &&
			r != '\\' && r != 0xfffd
	}
	if plain {
		return s
	}
	var text strings.Builder
	for i, r := range s {
		switch {
		case r == '\\':
			text.WriteString(`\\`)
		case r > ' ' && r != 0x7f && r != 0xfffd && strconv.IsPrint(r):
			text.WriteRune(r)
		default:
			size := len(string(r))
			if r == 0xfffd && !strings.HasPrefix(s[i:], "\uFFFD") {
				size = 1
			}
			for _, b := range []byte(s[i:][:size]) {
				fmt.Fprintf(&text, `\x%02x`, b)
			}
		}
	}
	return text.String()
}

// Percentile is the value that a part of all counted values are at or below, as if the values of a slot were
// spread evenly over it. ok is false if nothing was counted.
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

// Printable is text with blanks, on one line, with escapes for characters that a terminal would obey.
func Printable(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(Escape(s), `\x20`, " "), `\\`, `\`)
}
