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
	o.widths = o.widths[:0]
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
			widths[0] = max(widths[0], o.widestNumber(c))
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

func (o *Output) widestNumber(c *column) int {
	least, most, size := int64(0), uint64(0), o.record.size
	for i := range o.parts {
		for at := o.parts[i].raw; at < o.parts[i].rawEnd; at += size { // all would be a call for each
			v := c.value(o.raw[at : at+size])
			switch {
			case c.optional && v == c.absent:
			case c.negative && int64(v) < 0:
				least = min(least, int64(v))
			default:
				most = max(most, v)
			}
		}
	}
	if least < 0 {
		return max(decimal.Digits(most), 1+decimal.Digits(-uint64(least)))
	}
	return decimal.Digits(most)
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
