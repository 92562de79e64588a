package records

import (
	"bytes"
	"slices"
	"strconv"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/histograms"
	"bpfviewfs/internal/plain"
)

// appendJSON renders records as JSON lines. Each record is an object with its members in order. In a tree
// "cgroup", the path relative to the cgroup that was asked for, and "cgroup_id" come first. In a union "view"
// comes before them. A number above 2^53 is a string, because many readers know no greater one. A value that
// is not available is null.
func (o *Output) appendJSON(dst []byte) ([]byte, error) {
	o.before, o.members = nil, slices.Grow(o.members[:0], len(o.record.columns)+1)[:len(o.record.columns)+1]
	o.beginSubjects(JSON)
	var subject []byte
	for i := range o.parts {
		p := &o.parts[i]
		if o.tree {
			subject = o.subjectOf(p.number)
		}
		for at := p.raw; at < p.rawEnd; at += o.record.size {
			dst = append(dst, '{')
			if o.union {
				dst = append(append(append(dst, `"view":"`...), o.view...), `",`...)
			}
			dst = o.appendMembers(append(dst, subject...), o.raw[at:at+o.record.size])
			dst = append(dst, "}\n"...)
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// appendMembers appends the members of one record. A sum is inside its histogram. Members at the end that are the
// same in the record before are copied.
func (o *Output) appendMembers(dst, rec []byte) []byte {
	columns, begin := o.record.columns, len(dst)
	same := len(columns)
	if bytes.Equal(rec, o.before) {
		same = 0
	}
	for same > 0 && o.before != nil && columns[same-1].same(rec, o.before) {
		same--
	}
	for i := range columns[:same] {
		c := &columns[i]
		o.members[i] = len(dst) - begin
		if c.sumOf != "" {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(dst, c.key...)
		if c.kind == integer {
			switch v := c.value(rec); {
			case c.optional && v == c.absent:
				dst = append(dst, "null"...)
				continue
			case v <= maxExact:
				dst = decimal.Append(dst, v)
				continue
			}
		}
		dst = o.record.appendJSONValue(dst, c, rec)
	}
	if n := len(columns); same < n {
		from, moved := o.members[same], len(dst)-begin-o.members[same]
		dst = append(dst, dst[o.row+from:o.row+o.members[n]]...)
		for i := same; i < n && moved != 0; i++ {
			o.members[i] += moved
		}
	}
	o.members[len(columns)], o.row, o.before = len(dst)-begin, begin, rec
	return dst
}

func (r *record) appendJSONValue(dst []byte, c *column, rec []byte) []byte {
	switch {
	case c.missing(rec):
		return append(dst, "null"...)
	case c.kind == characters:
		return plain.AppendString(dst, c.characters(rec))
	case c.kind == boolean:
		return strconv.AppendBool(dst, c.value(rec) != 0)
	case c.kind == enumeration && c.enumName(rec) != "":
		return append(append(append(dst, '"'), c.enumName(rec)...), '"')
	case c.kind == address:
		return append(c.appendAddress(append(dst, '"'), rec), '"')
	case c.kind == histogram:
		return r.appendJSONHistogram(dst, c, rec)
	case c.negative && int64(c.value(rec)) < 0:
		v := -c.value(rec)
		if v <= maxExact {
			return strconv.AppendUint(append(dst, '-'), v, 10)
		}
		return append(strconv.AppendUint(append(dst, `"-`...), v, 10), '"')
	}
	return appendInteger(dst, c.value(rec))
}

// appendJSONHistogram appends a histogram as an object. Its buckets are those that are not empty, each with
// the value that none in it is above, null for the last slot, and its own count.
func (r *record) appendJSONHistogram(dst []byte, c *column, rec []byte) []byte {
	s := c.slots(rec)
	total := s.Total()
	dst = appendInteger(append(dst, `{"count":`...), total)
	dst = append(dst, `,"sum":`...)
	if c.sum < 0 {
		dst = append(dst, "null"...)
	} else {
		dst = r.appendJSONValue(dst, &r.columns[c.sum], rec)
	}
	for _, p := range histograms.Percentiles {
		dst = append(append(append(dst, `,"`...), p.Name...), `":`...)
		if total == 0 {
			dst = append(dst, "null"...)
		} else {
			dst = appendInteger(dst, s.Percentile(p.Of))
		}
	}
	dst = append(dst, `,"buckets":[`...)
	comma := false
	for i := range s.Len() {
		if s.Count(i) == 0 {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, '[')
		if i == s.Len()-1 {
			dst = append(dst, "null"...)
		} else {
			dst = appendInteger(dst, c.bound(i))
		}
		dst = append(appendInteger(append(dst, ','), s.Count(i)), ']')
	}
	return append(dst, "]}"...)
}

const maxExact = 1 << 53 // up to here a reader with 64-bit floating point knows every integer

func appendInteger(dst []byte, v uint64) []byte {
	if v <= maxExact {
		return decimal.Append(dst, v)
	}
	return append(strconv.AppendUint(append(dst, '"'), v, 10), '"')
}
