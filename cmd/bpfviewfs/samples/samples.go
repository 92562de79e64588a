// Package samples writes the raw output of a view as Prometheus text, the same as .bpfview/textfile has. A
// reader that adds labels of its own and takes raw output has a fifth of the bytes to read, and nothing to
// parse.
//
// It knows the simple views, which most samples are of: rows with keys of few values, without histograms. Of
// any other, ErrText says that the text has to be read.
package samples

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/raw"
)

// ErrText is the error for output that this package does not write.
var ErrText = errors.New("read the text")

// Page is the output of one view. Its methods may be called at the same time once it was read.
type Page struct {
	schema   *raw.Schema
	keys     []*raw.Member
	families []family
	cgroups  []cgroup
	ends     []end
}

// end is the end of the labels of a record, with the brace and the blank after them. keys are the bytes of
// its keys.
type end struct{ keys, text string }

// family is a metric of the view.
type family struct {
	comments string
	begin    string // of each sample, up to the cgroup's path
	member   *raw.Member
	unit     baseunits.Unit
}

type cgroup struct {
	labels  string
	records []byte
}

// New makes a page of a view from its schema. reserved are labels that the caller adds.
func New(schema []byte, reserved ...string) (*Page, error) {
	s, err := raw.ParseSchema(schema)
	if err != nil {
		return nil, err
	}
	if s.Textfile != "rows" {
		return nil, ErrText
	}
	p := &Page{schema: s}
	for i := range s.Members {
		m := &s.Members[i]
		switch {
		case m.IsHistogram():
			return nil, ErrText
		case m.Key:
			if few := strings.HasPrefix(m.Type, "enum") || m.Type == "bool"; !few ||
				slices.Contains(reserved, m.Name) {
				return nil, ErrText
			}
			p.keys = append(p.keys, m)
		case m.Metric != "" && !m.Average:
			p.families = append(p.families, newFamily(s, m))
		}
	}
	return p, nil
}

func newFamily(s *raw.Schema, m *raw.Member) family {
	help := []byte(m.Help)
	if m.Help == "" {
		help = []byte(s.View + " " + strings.TrimPrefix(m.Metric, "bpfview_"+s.View+"_"))
	}
	f := family{begin: m.Metric + `{cgroup="`, member: m, unit: baseunits.Units[m.Unit]}
	f.comments = fmt.Sprintf("# HELP %s %s\n# TYPE %[1]s %[3]s\n", m.Metric,
		plain.AppendLabel(nil, help, false), m.Kind)
	if f.unit.Base != "" {
		f.comments += fmt.Sprintf("# UNIT %s %s\n", m.Metric, f.unit.Base)
	}
	return f
}

// Read takes raw output, which the page keeps. labels returns the text of a cgroup's labels from its path,
// both as they are written: the path, a quote, and more labels.
//
// It is ErrText if the text has other samples than the page would have. They are in another order, equal
// records are told apart by a label, or there are more of them than the mount allows, which is an error.
func (p *Page) Read(output []byte, labels func(path []byte) string) error {
	path, count := []byte{'/'}, 0
	p.cgroups = make([]cgroup, 0, len(output)/(p.schema.Size+48)) // a guess that saves most copies
	var err error
	each := p.schema.Each(output, func(_ uint64, below, records []byte) bool {
		path = path[:1]
		if string(below) != "." {
			path = plain.AppendLabel(path, below, true)
		}
		p.cgroups = append(p.cgroups, cgroup{labels(path), records})
		count += len(records) / p.schema.Size
		err = p.check(records)
		return err == nil
	})
	switch {
	case errors.Is(each, raw.ErrSchema):
		return ErrText // the view was replaced after its schema was read
	case each != nil:
		return each
	case err == nil && p.schema.MaxSeries > 0 && count > p.schema.MaxSeries/max(len(p.families), 1):
		return ErrText
	}
	return err
}

// check adds the labels of a cgroup's records to the page. The records have to be in the order of their keys.
func (p *Page) check(records []byte) error {
	var before, key []byte
	for at := 0; at < len(records); at += p.schema.Size {
		record := records[at : at+p.schema.Size]
		if before != nil && p.compare(before, record) >= 0 {
			return ErrText
		}
		before = record
		key = p.appendKey(key[:0], record)
		if p.end(key, at/p.schema.Size) == nil {
			text, err := p.keyLabels(record)
			if err != nil {
				return err
			}
			p.ends = append(p.ends, end{string(key), text})
		}
	}
	return nil
}

// end finds the end of labels by the keys, or returns nil. There are few. Most cgroups have the same records
// in the same order, so the record's own number is tried first.
func (p *Page) end(keys []byte, record int) *end {
	if record < len(p.ends) && p.ends[record].keys == string(keys) {
		return &p.ends[record]
	}
	for i := range p.ends {
		if p.ends[i].keys == string(keys) {
			return &p.ends[i]
		}
	}
	return nil
}

func (p *Page) compare(a, b []byte) int {
	for _, k := range p.keys {
		if d := cmp.Compare(k.Uint(a), k.Uint(b)); d != 0 {
			return d
		}
	}
	return 0
}

func (p *Page) appendKey(key, record []byte) []byte {
	for _, k := range p.keys {
		key = append(key, record[k.Offset:k.Offset+k.Size]...)
	}
	return key
}

// keyLabels is the end of the labels of a record.
func (p *Page) keyLabels(record []byte) (string, error) {
	var text strings.Builder
	for _, k := range p.keys {
		if k.Missing(record) {
			continue
		}
		value, named := k.Value(record).(string)
		switch {
		case named:
		case k.Type == "bool":
			value = strconv.FormatUint(k.Uint(record), 10)
		default:
			return "", ErrText // a number, with or without a sign
		}
		fmt.Fprintf(&text, `,%s="%s"`, k.Name, value)
	}
	return text.String() + "} ", nil
}

// Block is a part of the text. Blocks can be written at the same time.
type Block struct {
	Comments string // before the samples, the line HELP first; "" after the first block of a metric

	family  *family
	cgroups []cgroup
}

// Blocks divides the text into blocks, in order, of about so many samples.
func (p *Page) Blocks(samples int) (blocks []Block) {
	var parts [][]cgroup
	from, count := 0, 0
	for i := range p.cgroups {
		if count += len(p.cgroups[i].records) / p.schema.Size; count >= samples {
			parts, from, count = append(parts, p.cgroups[from:i+1]), i+1, 0
		}
	}
	parts = append(parts, p.cgroups[from:])
	for i := range p.families {
		f := &p.families[i]
		if !p.has(f.member) {
			continue
		}
		for k, part := range parts {
			b := Block{family: f, cgroups: part}
			if k == 0 {
				b.Comments = f.comments
			}
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// has reports whether a record has the member.
func (p *Page) has(m *raw.Member) bool {
	return slices.ContainsFunc(p.cgroups, func(c cgroup) bool {
		for at := 0; at < len(c.records); at += p.schema.Size {
			if !m.Missing(c.records[at:]) {
				return true
			}
		}
		return false
	})
}

// Write writes the samples of a block, after what buf has already, whenever buf is half full.
func (p *Page) Write(to io.Writer, buf []byte, b Block) error {
	for i := range b.cgroups {
		buf = p.appendCgroup(buf, b.family, &b.cgroups[i])
		if len(buf) < cap(buf)/2 {
			continue
		}
		if _, err := to.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	_, err := to.Write(buf)
	return err
}

func (p *Page) appendCgroup(dst []byte, f *family, c *cgroup) []byte {
	var room [32]byte
	for at := 0; at < len(c.records); at += p.schema.Size {
		record := c.records[at : at+p.schema.Size]
		if f.member.Missing(record) {
			continue
		}
		end := p.end(p.appendKey(room[:0], record), at/p.schema.Size)
		dst = append(append(append(dst, f.begin...), c.labels...), end.text...)
		v, signed := f.member.Uint(record), f.member.Signed()
		if signed {
			v = uint64(f.member.Int(record))
		}
		dst = append(f.unit.Append(dst, v, signed), '\n')
	}
	return dst
}
