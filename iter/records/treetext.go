package records

import "bytes"

// appendLines renders a text view's tree. Each line ends with the cgroup's id and path. A first line that all
// parts have in common is their header if it has letters, but no small ones and no digits. It stands once,
// above all.
func (o *Output) appendLines(dst []byte) ([]byte, error) {
	header := o.commonHeader()
	width := len(header)
	o.eachLine(header, func(_ *part, line []byte) error {
		width = max(width, min(len(line), maxLine))
		return nil
	})
	if width = min(width, maxLine); width > 0 {
		from := len(dst)
		dst = pad(append(dst, header...), from, width, true, ' ')
	}
	dst = o.appendTreeHeader(dst)
	before, subject := (*part)(nil), []byte(nil)
	err := o.eachLine(header, func(p *part, line []byte) error {
		if p != before {
			before, subject = p, o.subjectOf(p.number)
		}
		from := len(dst)
		dst = append(pad(append(dst, line...), from, width, true, ' '), subject...)
		return o.fits(dst)
	})
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// eachLine calls each for the lines of all parts, without the header that they have in common.
func (o *Output) eachLine(header []byte, each func(p *part, line []byte) error) error {
	for i := range o.parts {
		p := &o.parts[i]
		text := o.raw[p.raw:p.rawEnd]
		if header != nil && len(text) > 0 {
			_, text, _ = bytes.Cut(text, []byte{'\n'})
		}
		for len(text) > 0 {
			line, rest, _ := bytes.Cut(text, []byte{'\n'})
			if err := each(p, line); err != nil {
				return err
			}
			text = rest
		}
	}
	return nil
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
	return bytes.ContainsAny(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") &&
		!bytes.ContainsAny(line, "abcdefghijklmnopqrstuvwxyz0123456789")
}

// appendTreeHeader appends the heads of the columns with the cgroup of a line.
func (o *Output) appendTreeHeader(dst []byte) []byte {
	o.beginSubjects(Text)
	dst = append(dst, blanks[:o.subject.idWidth-len("CGROUP_ID")]...)
	return append(dst, "CGROUP_ID PATH\n"...)
}
