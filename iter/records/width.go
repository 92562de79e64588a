package records

import (
	"bytes"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/histograms"
)

// maxWidth is the most that a column is padded to, so that one long name does not stretch all lines. maxLine
// is the same for a line of a text view.
const maxWidth, maxLine = 64, 128

var blanks = bytes.Repeat([]byte{' '}, maxLine)

// measure finds the widths of all columns of text. Each is as wide as the head or the widest value in this
// run. The whole run is in memory before its first byte is shown, so no width must be guessed, and none is
// too small. The room after dst is used to render values.
func (o *Output) measure(dst []byte) {
	o.widths, o.fixed = o.widths[:0], true
	o.findGreatest()
	for i := range o.record.columns {
		c := &o.record.columns[i]
		last := i == len(o.record.columns)-1 && !o.tree
		for _, head := range c.heads {
			o.widths = append(o.widths, min(len(head), maxWidth))
		}
		widths := o.widths[len(o.widths)-len(c.heads):]
		switch {
		case last && c.left(): // it is not padded
		case c.kind == histogram:
			o.measureHistogram(c, widths)
		case c.left():
			widths[0] = min(max(widths[0], o.widestText(dst, c)), maxWidth)
		default:
			widths[0] = max(widths[0], decimal.Digits(o.greatest[i]), o.longest[i])
		}
		o.fixed = o.fixed && c.kind != histogram && !(last && c.left()) && widths[0] < maxWidth
	}
}

// findGreatest finds the greatest number in each column, and the length of the longest one below zero. All rows
// may be more than the CPU's caches hold, so it looks at each once.
func (o *Output) findGreatest() {
	columns, size := o.record.columns, o.record.size
	o.greatest = append(o.greatest[:0], make([]uint64, len(columns))...)
	o.longest = append(o.longest[:0], make([]int, len(columns))...)
	var before []byte
	for i := range o.parts {
		for at := o.parts[i].raw; at < o.parts[i].rawEnd; at += size { // all would be a call for each
			rec := o.raw[at : at+size]
			if bytes.Equal(rec, before) {
				continue
			}
			before = rec
			for k := range columns {
				c := &columns[k]
				if c.left() || c.kind == histogram {
					continue
				}
				switch v := c.value(rec); {
				case c.optional && v == c.absent:
				case c.negative && int64(v) < 0:
					o.longest[k] = max(o.longest[k], 1+decimal.Digits(-v))
				default:
					o.greatest[k] = max(o.greatest[k], v)
				}
			}
		}
	}
}

// all gives the records of all parts, not sorted.
func (o *Output) all(yield func(rec []byte) bool) {
	size := o.record.size
	for i := range o.parts {
		for at := o.parts[i].raw; at < o.parts[i].rawEnd; at += size {
			if !yield(o.raw[at : at+size]) {
				return
			}
		}
	}
}

// widestText renders each value, but each small one of an enumeration once.
func (o *Output) widestText(dst []byte, c *column) (width int) {
	from, seen := len(dst), uint64(0)
	for rec := range o.all {
		if c.kind == enumeration {
			bit := uint64(1) << c.value(rec) // 0 for a value above 63
			if seen&bit != 0 {
				continue
			}
			seen |= bit
		}
		dst = c.appendCell(dst[:from], rec, false)
		if width = max(width, len(dst)-from); width >= maxWidth {
			break
		}
	}
	return width
}

func (o *Output) measureHistogram(c *column, widths []int) {
	for rec := range o.all {
		slots, total := c.slots(rec), c.slots(rec).Total()
		if total == 0 || c.missing(rec) {
			continue
		}
		widths[0] = max(widths[0], decimal.Digits(total))
		for k, p := range histograms.Percentiles {
			widths[1+k] = max(widths[1+k], decimal.Digits(slots.Percentile(p.Of)))
		}
	}
}
