package records

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/plain"
)

// appendText renders records as text. A header line has the members' names, and one line a record follows.
// Columns are divided by one space or more. Numbers stand right, text left, and the last column is as long as
// it is. An optional value that is not there, and an empty text, is "-". A histogram is four columns, the
// count and percentiles. In a tree each line begins with the cgroup's path, escaped so that it has no spaces,
// and id.
func (o *Output) appendText(dst []byte) ([]byte, error) {
	width := 0
	if o.tree {
		width = o.pathWidth(dst)
		dst = appendTreeHeader(dst, width)
	}
	dst = o.record.appendHeader(dst)
	for i := range o.parts {
		p := &o.parts[i]
		whose := span{}
		for _, n := range o.records(p) {
			if o.tree {
				dst, whose = o.appendWhose(dst, p, width, whose)
			}
			dst = o.record.appendRow(dst, o.at(p, n))
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

func (r *record) appendHeader(dst []byte) []byte {
	for i := range r.columns {
		c := &r.columns[i]
		last := i == len(r.columns)-1
		if c.kind != histogram {
			dst = c.pad(c.appendTitle(dst, ""), len(dst), last)
			continue
		}
		dst = c.pad(c.appendTitle(dst, "_COUNT"), len(dst), false)
		for k := range percentiles {
			from := len(dst)
			dst = append(c.appendTitle(dst, "_"), percentiles[k].title...)
			dst = c.pad(dst, from, last && k == len(percentiles)-1)
		}
	}
	return dst
}

func (c *column) appendTitle(dst []byte, suffix string) []byte {
	for _, b := range []byte(c.name) {
		dst = append(dst, upper(b))
	}
	return append(dst, suffix...)
}

func upper(b byte) byte {
	if 'a' <= b && b <= 'z' {
		return b - 'a' + 'A'
	}
	return b
}

func (r *record) appendRow(dst, rec []byte) []byte {
	for i := range r.columns {
		c := &r.columns[i]
		last := i == len(r.columns)-1
		end := byte(' ')
		if last {
			end = '\n'
		}
		switch c.kind {
		case histogram:
			dst = c.appendHistogram(dst, rec, last)
			continue
		case integer, boolean, cgroupNumber:
			v := c.value(rec)
			switch {
			case c.optional && v == c.absent:
				dst = decimal.AppendDash(dst, c.width, end)
				continue
			case !c.negative || int64(v) >= 0:
				dst = decimal.AppendField(dst, v, c.width, end)
				continue
			}
		}
		from := len(dst)
		switch {
		case c.missing(rec):
			dst = append(dst, '-')
		case c.kind == characters:
			dst = plain.AppendField(dst, c.characters(rec), last)
			if len(dst) == from {
				dst = append(dst, '-')
			}
		default:
			dst = c.appendPlain(dst, rec)
		}
		dst = c.pad(dst, from, last)
	}
	return dst
}

// appendHistogram appends the four columns of a histogram. An empty one has no percentiles.
func (c *column) appendHistogram(dst, rec []byte, last bool) []byte {
	slots, missing := c.slots(rec), c.missing(rec)
	from := len(dst)
	total := uint64(0)
	if missing {
		dst = append(dst, '-')
	} else {
		total = slots.total()
		dst = strconv.AppendUint(dst, total, 10)
	}
	dst = c.pad(dst, from, false)
	for k := range percentiles {
		from := len(dst)
		if total == 0 {
			dst = append(dst, '-')
		} else {
			dst = strconv.AppendUint(dst, slots.percentile(percentiles[k].of), 10)
		}
		dst = c.pad(dst, from, last && k == len(percentiles)-1)
	}
	return dst
}

// pad pads the text from from on to the column's width. It ends the column, or the line after the last
// column.
func (c *column) pad(dst []byte, from int, last bool) []byte {
	left := c.kind == characters || c.kind == address || c.kind == enumeration
	if pad := c.width - (len(dst) - from); pad > 0 {
		switch {
		case !left:
			dst = slices.Insert(dst, from, blanks[:pad]...)
		case !last:
			dst = append(dst, blanks[:pad]...)
		}
	}
	if last {
		return append(dst, '\n')
	}
	return append(dst, ' ')
}

const maxWidth = 64

var blanks = bytes.Repeat([]byte{' '}, maxWidth)

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
