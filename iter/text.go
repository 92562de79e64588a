package iter

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// appendText renders records as text: a header line of the members' names, then one line a record. Columns are parted
// by one space or more; numbers stand right, text left, the last column is as long as it is. An optional value that is
// not there, and an empty text, is "-". order is room for sorting; it is given back to be used again.
func (r *record) appendText(dst, raw []byte, order []uint32) ([]byte, []uint32, error) {
	if len(raw)%r.size != 0 {
		return dst, order, fmt.Errorf("output of %d bytes is no whole number of records of %d bytes: %w", len(raw), r.size, unix.EIO)
	}
	dst = r.appendHeader(dst)
	order = r.sort(raw, order)
	for _, i := range order {
		dst = r.appendRow(dst, r.at(raw, i))
	}
	return dst, order, nil
}

func (r *record) at(raw []byte, i uint32) []byte { return raw[int(i)*r.size:][:r.size] }

func (r *record) appendHeader(dst []byte) []byte {
	for i := range r.columns {
		c := &r.columns[i]
		from := len(dst)
		for _, b := range []byte(c.name) {
			dst = append(dst, byte(upper(b)))
		}
		dst = r.finish(dst, from, i)
	}
	return dst
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
		from := len(dst)
		switch {
		case c.missing(rec):
			dst = append(dst, '-')
		case c.kind == unsigned:
			dst = strconv.AppendUint(dst, c.value(rec), 10)
		case c.kind == signed:
			dst = strconv.AppendInt(dst, int64(c.value(rec)), 10)
		default:
			dst = appendEscaped(dst, c.characters(rec), i == len(r.columns)-1)
			if len(dst) == from {
				dst = append(dst, '-')
			}
		}
		dst = r.finish(dst, from, i)
	}
	return dst
}

// finish pads what was appended since from to column i's width and ends the column.
func (r *record) finish(dst []byte, from, i int) []byte {
	c := &r.columns[i]
	last := i == len(r.columns)-1
	if pad := c.width - (len(dst) - from); pad > 0 {
		switch {
		case c.kind != characters:
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

// sort orders the records by their keys, then as they came.
func (r *record) sort(raw []byte, order []uint32) []uint32 {
	order = order[:0]
	for i := range len(raw) / r.size {
		order = append(order, uint32(i))
	}
	if len(r.keys) == 0 {
		return order
	}
	slices.SortFunc(order, func(i, j uint32) int {
		a, b := r.at(raw, i), r.at(raw, j)
		for _, k := range r.keys {
			if d := r.columns[k].compare(a, b); d != 0 {
				return d
			}
		}
		return cmp.Compare(i, j)
	})
	return order
}

func (c *column) compare(a, b []byte) int {
	switch c.kind {
	case unsigned:
		return cmp.Compare(c.value(a), c.value(b))
	case signed:
		return cmp.Compare(int64(c.value(a)), int64(c.value(b)))
	default:
		return bytes.Compare(c.characters(a), c.characters(b))
	}
}
