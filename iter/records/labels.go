package records

import (
	"bytes"
	"slices"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/plain"
)

// labels are the labels of records that tell apart those of one cgroup. Each sample of a record copies them.
type labels struct {
	text []byte
	ends []int // of each record's labels, in order
}

// label renders the labels. It also finds the columns of which some record has a value.
func (o *Output) label() {
	o.present = append(o.present[:0], make([]bool, len(o.record.columns))...)
	size, l, twin := o.record.size, &o.labels, uint64(0)
	l.text, l.ends = l.text[:0], slices.Grow(l.ends[:0], len(o.raw)/size)
	var before []byte
	for i := range o.parts {
		p := &o.parts[i]
		for at := p.raw; at < p.rawEnd; at += size {
			rec := o.raw[at : at+size]
			for _, k := range o.record.keys {
				l.text = o.record.columns[k].appendLabel(l.text, rec)
			}
			if twin++; at == p.raw || o.record.compare(before, rec) != 0 {
				twin = 0 // how many records before it have the same keys
			} else {
				l.text = append(decimal.Append(append(l.text, `,record="`...), twin), '"')
			}
			l.ends = append(l.ends, len(l.text))
			if !bytes.Equal(rec, before) {
				for i := range o.record.columns {
					o.present[i] = o.present[i] || !o.record.columns[i].missing(rec)
				}
			}
			before = rec
		}
	}
}

// appendLabel appends a member as a label. One that is not available has none, which is the same as an empty
// one.
func (c *column) appendLabel(dst, rec []byte) []byte {
	if c.missing(rec) {
		return dst
	}
	dst = append(dst, c.label...)
	if c.kind == characters {
		dst = plain.AppendLabel(dst, c.characters(rec), true)
	} else {
		dst = c.appendPlain(dst, rec)
	}
	return append(dst, '"')
}
