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
	rows     map[string]*rows // by the keys of their records
	last     *rows            // of the last cgroup
	room     []byte
}

// rows are the labels of a cgroup's records. Most cgroups have the same.
type rows struct {
	keys string   // of all records
	ends []string // of each record's labels, with the brace and the blank after them
}

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
	rows    *rows
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
		var r *rows
		if r, err = p.rowsOf(records); err == nil {
			p.cgroups = append(p.cgroups, cgroup{labels(path), records, r})
			count += len(r.ends)
		}
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

// rowsOf returns the labels of a cgroup's records, which have to be in the order of their keys.
func (p *Page) rowsOf(records []byte) (*rows, error) {
	keys := p.room[:0]
	for at := 0; at < len(records); at += p.schema.Size {
		keys = append(keys, 0) // one for each record, because a record may have no keys
		for _, k := range p.keys {
			keys = append(keys, records[at+k.Offset:at+k.Offset+k.Size]...)
		}
	}
	p.room = keys
	if p.last != nil && p.last.keys == string(keys) {
		return p.last, nil
	}
	if p.last = p.rows[string(keys)]; p.last != nil {
		return p.last, nil
	}
	p.last = &rows{keys: string(keys)}
	for at := 0; at < len(records); at += p.schema.Size {
		if at > 0 && p.compare(records[at-p.schema.Size:], records[at:]) >= 0 {
			return nil, ErrText
		}
		text, err := p.keyLabels(records[at:])
		if err != nil {
			return nil, err
		}
		p.last.ends = append(p.last.ends, text)
	}
	if p.rows == nil {
		p.rows = make(map[string]*rows)
	}
	p.rows[p.last.keys] = p.last
	return p.last, nil
}

func (p *Page) compare(a, b []byte) int {
	for _, k := range p.keys {
		if d := cmp.Compare(k.Uint(a), k.Uint(b)); d != 0 {
			return d
		}
	}
	return 0
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
		if count += len(p.cgroups[i].rows.ends); count >= samples {
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
	signed := f.member.Signed()
	for i, end := range c.rows.ends {
		record := c.records[i*p.schema.Size:]
		if f.member.Missing(record) {
			continue
		}
		dst = append(append(append(dst, f.begin...), c.labels...), end...)
		v := f.member.Uint(record)
		if signed {
			v = uint64(f.member.Int(record))
		}
		dst = append(f.unit.Append(dst, v, signed), '\n')
	}
	return dst
}
