package records

import (
	"bytes"

	"bpfviewfs/internal/decimal"
)

// appendLines renders a text view's tree. Each line begins with the cgroup's path and id. A first line that
// all parts have in common is their header if it has letters, but no small ones and no digits. It stands
// once, above all.
func (o *Output) appendLines(dst []byte) ([]byte, error) {
	width := o.pathWidth(dst)
	header := o.commonHeader()
	dst = appendTreeHeader(dst, width)
	if header == nil {
		dst[len(dst)-1] = '\n'
	} else {
		dst = append(append(dst, header...), '\n')
	}
	for i := range o.parts {
		p := &o.parts[i]
		text := o.raw[p.raw:p.rawEnd]
		if header != nil && len(text) > 0 {
			_, text, _ = bytes.Cut(text, []byte{'\n'})
		}
		whose := span{}
		for len(text) > 0 {
			line, rest, _ := bytes.Cut(text, []byte{'\n'})
			dst, whose = o.appendWhose(dst, p, width, whose)
			dst = append(append(dst, line...), '\n')
			text = rest
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

// commonHeader is the first line of all parts that are not empty, or nil. One word alone is a value, no
// header.
func (o *Output) commonHeader() (header []byte) {
	alone := true
	for i := range o.parts {
		p := &o.parts[i]
		line, rest, _ := bytes.Cut(o.raw[p.raw:p.rawEnd], []byte{'\n'})
		alone = alone && len(rest) == 0
		switch {
		case p.raw == p.rawEnd:
		case header == nil && !isHeader(line), header != nil && !bytes.Equal(header, line):
			return nil
		default:
			header = line
		}
	}
	if alone && len(bytes.Fields(header)) == 1 {
		return nil
	}
	return header
}

func isHeader(line []byte) bool {
	return bytes.ContainsFunc(line, func(r rune) bool { return 'A' <= r && r <= 'Z' }) &&
		!bytes.ContainsFunc(line, func(r rune) bool {
			return 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		})
}

const idWidth = 10

func appendTreeHeader(dst []byte, width int) []byte {
	dst = append(append(dst, "PATH"...), blanks[:width-len("PATH")]...)
	dst = append(append(dst, ' '), blanks[:idWidth-len("CGROUP_ID")]...)
	return append(dst, "CGROUP_ID "...)
}

// appendWhose appends the columns with the cgroup of a line. It gives their place, because the next line of
// the part copies them.
func (o *Output) appendWhose(dst []byte, p *part, width int, before span) ([]byte, span) {
	if before.to > 0 {
		return append(dst, dst[before.from:before.to]...), before
	}
	from := len(dst)
	dst = o.appendPath(dst, p, Text)
	if pad := width - (len(dst) - from); pad > 0 {
		dst = append(dst, blanks[:pad]...)
	}
	dst = decimal.AppendField(append(dst, ' '), o.Cgroup(p.node), idWidth, ' ')
	return dst, span{from, len(dst)}
}

// pathWidth is the width of a tree's column of paths. The room after dst is used to escape them.
func (o *Output) pathWidth(dst []byte) int {
	width, from := len("PATH"), len(dst)
	for i := range o.parts {
		dst = o.appendPath(dst[:from], &o.parts[i], Text)
		if width = max(width, len(dst)-from); width >= maxWidth {
			return maxWidth
		}
	}
	return width
}
