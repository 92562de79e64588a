package records

import (
	"strconv"
	"unicode/utf8"
)

// appendJSON renders records as JSON lines: one object a record, its members in order. In a tree "cgroup", the path
// relative to the cgroup that was asked for, and "cgroup_id" come first. A number above 2^53 is a string, because
// many readers know no greater one; what is not available is null.
func (o *Output) appendJSON(dst []byte) ([]byte, error) {
	for i := range o.parts {
		p := &o.parts[i]
		for _, n := range o.records(p) {
			dst = append(dst, '{')
			if o.tree {
				dst = appendString(append(dst, `"cgroup":`...), o.path(p.node))
				dst = appendInteger(append(dst, `,"cgroup_id":`...), o.Cgroup(p.node))
				dst = append(dst, ',')
			}
			dst = append(o.record.appendMembers(dst, o.at(p, n)), "}\n"...)
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// appendMembers appends the members of one record. A sum is its histogram's.
func (r *record) appendMembers(dst, rec []byte) []byte {
	comma := false
	for i := range r.columns {
		c := &r.columns[i]
		if c.sumOf != "" {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(append(append(dst, '"'), c.name...), `":`...)
		dst = r.appendJSONValue(dst, c, rec)
	}
	return dst
}

func (r *record) appendJSONValue(dst []byte, c *column, rec []byte) []byte {
	switch {
	case c.missing(rec):
		return append(dst, "null"...)
	case c.kind == characters:
		return appendString(dst, c.characters(rec))
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

// appendJSONHistogram appends a histogram as an object. Its buckets are those that are not empty, each with the
// greatest value that it counts, null for the last slot, and its own count.
func (r *record) appendJSONHistogram(dst []byte, c *column, rec []byte) []byte {
	s := c.slots(rec)
	total := s.total()
	dst = appendInteger(append(dst, `{"count":`...), total)
	dst = append(dst, `,"sum":`...)
	if c.sum < 0 {
		dst = append(dst, "null"...)
	} else {
		dst = r.appendJSONValue(dst, &r.columns[c.sum], rec)
	}
	for _, p := range percentiles {
		dst = append(append(append(dst, `,"`...), p.name...), `":`...)
		if total == 0 {
			dst = append(dst, "null"...)
		} else {
			dst = appendInteger(dst, s.percentile(p.of))
		}
	}
	dst = append(dst, `,"buckets":[`...)
	comma := false
	for i := range s.len() {
		if s.count(i) == 0 {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, '[')
		if i == s.len()-1 {
			dst = append(dst, "null"...)
		} else {
			dst = appendInteger(dst, s.upper(i))
		}
		dst = append(appendInteger(append(dst, ','), s.count(i)), ']')
	}
	return append(dst, "]}"...)
}

const maxExact = 1 << 53 // up to here a reader with 64-bit floating point knows every integer

func appendInteger(dst []byte, v uint64) []byte {
	if v <= maxExact {
		return strconv.AppendUint(dst, v, 10)
	}
	return append(strconv.AppendUint(append(dst, '"'), v, 10), '"')
}

// appendString appends a JSON string (RFC 8259). Bytes that are not UTF-8 become U+FFFD, as with encoding/json, which
// cannot append.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < ' ' || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		case r == utf8.RuneError:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return append(dst, '"')
}
