package records

import (
	"encoding/binary"
	"slices"
)

// merge joins the records of a part that have the same keys. The first one stays, with the totals of all.
// They must be sorted. It reports whether there were any; then the part has to be sorted again.
func (o *Output) merge(p *part) bool {
	var first uint32
	var merged []uint32
	for i, n := range o.records(p) {
		if i == 0 || o.record.compare(o.at(p, first), o.at(p, n)) != 0 {
			first = n
			continue
		}
		for _, c := range o.record.totals {
			o.record.columns[c].add(o.at(p, first), o.at(p, n))
		}
		merged = append(merged, n)
	}
	if len(merged) == 0 {
		return false
	}
	slices.Sort(merged)
	end := p.raw
	for n := range uint32(len(o.records(p))) {
		if len(merged) > 0 && merged[0] == n {
			merged = merged[1:]
			continue
		}
		end += copy(o.raw[end:], o.at(p, n))
	}
	p.rawEnd = end
	return true
}

// add adds the number in rec to the one in to.
func (c *column) add(to, rec []byte) {
	sum, b := c.value(to)+c.value(rec), c.bytes(to)
	switch c.size {
	case 1:
		b[0] = byte(sum)
	case 2:
		binary.NativeEndian.PutUint16(b, uint16(sum))
	case 4:
		binary.NativeEndian.PutUint32(b, uint32(sum))
	default:
		binary.NativeEndian.PutUint64(b, sum)
	}
}
