package records

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/histograms"
	"bpfviewfs/internal/plain"
)

// appendText renders records as text. A header line has the members' names, and one line a record follows.
// Columns are divided by one space or more. Numbers stand right, text left, and the last column is as long as
// it is. An optional value that is not there, and an empty text, is "-". A histogram is four columns, the
// count and percentiles. A tree has two more columns at the end, the cgroup's id and its path, in which
// spaces are escaped. So column n of a view is column n of its tree, and the last one is the path.
func (o *Output) appendText(dst []byte) ([]byte, error) {
	o.measure(dst)
	dst = o.appendHeader(dst)
	var subject []byte
	for i := range o.parts {
		p := &o.parts[i]
		if o.tree {
			subject = o.subjectOf(p.number)
		}
		for at := p.raw; at < p.rawEnd; at += o.record.size {
			rec := o.raw[at : at+o.record.size]
			if o.fixed {
				dst = o.appendFixed(dst, rec)
			} else {
				dst = o.appendRow(dst, rec)
			}
			dst = append(dst, subject...)
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

func (o *Output) appendHeader(dst []byte) []byte {
	begin, at := len(dst), 0
	for i := range o.record.columns {
		c := &o.record.columns[i]
		for _, head := range c.heads {
			from := len(dst)
			dst = pad(append(dst, head...), from, o.widths[at], c.left(), o.end(at))
			at++
		}
	}
	o.row, o.rowEnd, o.before = begin, len(dst), nil
	if o.tree {
		dst = o.appendTreeHeader(dst)
	}
	return dst
}

// nameHeads names the columns of text. Those of a histogram are COUNT, P50_USEC and so on, after its name only
// if two columns would have the same head.
func (r *record) nameHeads() {
	for _, named := range []bool{false, true} {
		seen, twice := make(map[string]bool), false
		for i := range r.columns {
			c := &r.columns[i]
			c.heads = c.headsOf(named)
			for _, head := range c.heads {
				twice = twice || seen[head]
				seen[head] = true
			}
		}
		if !twice {
			return
		}
	}
}

func (c *column) headsOf(named bool) []string {
	name, suffix := strings.ToUpper(c.name), strings.ToUpper(c.in.Suffix)
	if c.kind != histogram {
		return []string{name}
	}
	before := ""
	if named {
		before = strings.TrimSuffix(name, suffix) + "_"
	}
	return histograms.Heads(before, suffix)
}

// left reports whether a column stands left.
func (c *column) left() bool {
	return c.kind == characters || c.kind == address || c.kind == enumeration
}

// end is the byte after the column with the number at.
func (o *Output) end(at int) byte {
	if at == len(o.widths)-1 && !o.tree {
		return '\n'
	}
	return ' '
}

// appendFixed is appendRow if all cells fit into their columns. A row begins as a copy of the one before, the
// first as a copy of the header, and only cells that differ are written.
func (o *Output) appendFixed(dst, rec []byte) []byte {
	from := len(dst)
	dst = append(dst, dst[o.row:o.rowEnd]...)
	o.row, o.rowEnd = from, len(dst)
	if bytes.Equal(rec, o.before) {
		return dst
	}
	row := dst[from:]
	for i := range o.record.columns {
		c, field := &o.record.columns[i], row[:o.widths[i]]
		row = row[len(field)+1:]
		if c.left() || c.negative {
			if o.before != nil && c.same(rec, o.before) {
				continue
			}
			o.cell = c.appendCell(o.cell[:0], rec, false)
			copy(field, blanks)
			if !c.left() {
				field = field[len(field)-len(o.cell):]
			}
			copy(field, o.cell)
			continue
		}
		v := c.value(rec)
		if o.before != nil && v == c.value(o.before) {
			continue
		}
		n := len(field) - 1
		if c.optional && v == c.absent {
			field[n] = '-'
		} else {
			n = decimal.Put(field, v)
		}
		for n--; n >= 0 && field[n] != ' '; n-- { // what a longer one has left
			field[n] = ' '
		}
	}
	o.before = rec
	return dst
}

func (o *Output) appendRow(dst, rec []byte) []byte {
	at := 0
	for i := range o.record.columns {
		c := &o.record.columns[i]
		width, end := o.widths[at], o.end(at)
		at += len(c.heads)
		switch c.kind {
		case histogram:
			dst = o.appendHistogram(dst, c, rec, at-len(c.heads))
			continue
		case integer, boolean, cgroupNumber:
			v := c.value(rec)
			switch {
			case c.optional && v == c.absent:
				dst = decimal.AppendDash(dst, width, end)
				continue
			case !c.negative || int64(v) >= 0:
				dst = decimal.AppendField(dst, v, width, end)
				continue
			}
		}
		from := len(dst)
		dst = pad(c.appendCell(dst, rec, end == '\n'), from, width, c.left(), end)
	}
	return dst
}

// appendCell appends one value. In the last column it may have spaces.
func (c *column) appendCell(dst, rec []byte, last bool) []byte {
	switch {
	case c.optional && c.missing(rec):
		return append(dst, '-')
	case c.kind != characters:
		return c.appendPlain(dst, rec)
	}
	from := len(dst)
	if dst = plain.AppendField(dst, c.characters(rec), last); len(dst) == from {
		dst = append(dst, '-')
	}
	return dst
}

// appendHistogram appends the four columns of a histogram, from the column with the number at on. An empty
// one has no percentiles.
func (o *Output) appendHistogram(dst []byte, c *column, rec []byte, at int) []byte {
	slots, missing := c.slots(rec), c.missing(rec)
	total := slots.Total()
	for k := range c.heads {
		width, end := o.widths[at+k], o.end(at+k)
		switch {
		case missing, k > 0 && total == 0:
			dst = decimal.AppendDash(dst, width, end)
		case k == 0:
			dst = decimal.AppendField(dst, total, width, end)
		default:
			dst = decimal.AppendField(dst, slots.Percentile(histograms.Percentiles[k-1].Of), width, end)
		}
	}
	return dst
}

// pad pads the text from from on to a width, and appends the byte end. The last column of a line is not
// padded at its right.
func pad(dst []byte, from, width int, left bool, end byte) []byte {
	if pad := width - (len(dst) - from); pad > 0 {
		switch {
		case !left:
			dst = slices.Insert(dst, from, blanks[:pad]...)
		case end != '\n':
			dst = append(dst, blanks[:pad]...)
		}
	}
	return append(dst, end)
}

func (c *column) compare(a, b []byte) int {
	switch c.kind {
	case characters:
		return bytes.Compare(c.characters(a), c.characters(b))
	case histogram, address:
		return bytes.Compare(c.bytes(a), c.bytes(b))
	}
	if c.negative {
		return cmp.Compare(int64(c.value(a)), int64(c.value(b)))
	}
	return cmp.Compare(c.value(a), c.value(b))
}
