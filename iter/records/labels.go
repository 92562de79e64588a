package records

import (
	"bytes"
	"slices"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/plain"
)

// label is the common part of a record's samples, between the braces. The first sample of the record renders
// it; the others copy it from there.
type label struct {
	from int
	size uint32
	twin uint32 // how many records before it have the same keys
}

// findTwins makes the list of labels, none of which is rendered yet. It also finds the columns of which some
// record has a value.
func (o *Output) findTwins() {
	o.present = append(o.present[:0], make([]bool, len(o.record.columns))...)
	var last []byte
	o.labels = slices.Grow(o.labels[:0], len(o.order))[:len(o.order)]
	nr := 0
	for i := range o.parts {
		p := &o.parts[i]
		var before []byte
		for k, n := range o.records(p) {
			rec := o.at(p, n)
			o.labels[nr] = label{}
			if k > 0 && o.record.compare(before, rec) == 0 {
				o.labels[nr].twin = o.labels[nr-1].twin + 1
			}
			before = rec
			nr++
			if bytes.Equal(rec, last) {
				continue
			}
			last = rec
			for i := range o.record.columns {
				o.present[i] = o.present[i] || !o.record.columns[i].missing(rec)
			}
		}
	}
}

// appendLabels appends the labels of a record, with the brace before them and without the one after.
func (o *Output) appendLabels(dst []byte, p *part, rec []byte, l *label) []byte {
	if l.size > 0 {
		return append(dst, dst[l.from:l.from+int(l.size)]...)
	}
	l.from = len(dst)
	// The path begins at the cgroup that was asked for, as in a cgroup namespace. The owner of a part of
	// the tree must not learn of cgroups above it.
	dst = append(dst, `{cgroup="/`...)
	if o.tree && p.number > 0 {
		dst = o.appendPath(dst, p, Prom)
	}
	dst = append(dst, '"')
	for _, k := range o.record.keys {
		dst = o.record.columns[k].appendLabel(dst, rec)
	}
	if l.twin > 0 {
		dst = append(decimal.Append(append(dst, `,record="`...), uint64(l.twin)), '"')
	}
	l.size = uint32(len(dst) - l.from)
	return dst
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
