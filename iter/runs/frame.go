package runs

import "bytes"

// Frame is the numbers of lines of a program's text that are a header and a footer. They are there once,
// however many processes the program is run for. A nil number is unknown.
type Frame struct{ Header, Footer *int }

// frame says of each part of a text, which is the output about one process, how many bytes at its beginning
// are the header, and at its end the footer.
type frame struct {
	header, footer func(part []byte) int
}

// frameOf gives the frame of the parts of dst. It finds out an unknown footer by a run for a process that
// does not exist. The kernel runs a program once more after the last process, and the output of that is the
// footer.
func (r *run) frameOf(from int, dst []byte, parts [][]byte) (f frame, err error) {
	told := r.job.frame
	var header []byte
	if n := told.Header; n != nil {
		f.header = func(part []byte) int { return firstLines(part, *n) }
	} else {
		if header, err = r.header(from, dst, parts); err != nil {
			return f, err
		}
		f.header = func(part []byte) int { return len(part) - len(bytes.TrimPrefix(part, header)) }
	}
	if n := told.Footer; n != nil {
		f.footer = func(part []byte) int {
			return len(part) - firstLines(part, bytes.Count(part, []byte{'\n'})-*n)
		}
		return f, nil
	}
	all, err := r.askThread(nobody, from, dst)
	if err != nil {
		return f, err
	}
	footer := bytes.TrimPrefix(all[len(dst):], header)
	for _, part := range parts {
		if !bytes.HasSuffix(part[f.header(part):], footer) {
			footer = nil
		}
	}
	f.footer = func([]byte) int { return len(footer) }
	return f, nil
}

// firstLines is the length of the first n lines, or of all if there are fewer.
func firstLines(text []byte, n int) (length int) {
	for ; n > 0 && length < len(text); n-- {
		end := bytes.IndexByte(text[length:], '\n')
		if end < 0 {
			return len(text)
		}
		length += end + 1
	}
	return length
}

// once removes all headers but the first and all footers but the last.
func (f frame) once(dst []byte, parts [][]byte) []byte {
	for i, part := range parts {
		begin, end := f.header(part), len(part)
		if i < len(parts)-1 {
			end -= min(f.footer(part), end-begin)
		}
		if i == 0 {
			begin = 0
		}
		dst = append(dst, part[begin:end]...)
	}
	return dst
}
