package exporter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// form is how a page is written.
type form struct {
	open bool // OpenMetrics, else the Prometheus text format
	gzip bool
}

// page is the content of a file as it is sent, with the labels of cgroups. It is in chunks that are used
// again, because that of ten thousand cgroups has many megabytes.
type page struct {
	chunks []*chunk
	size   int

	sum  uint32 // CRC-32 of the text, if it is compressed
	text int64  // bytes of that

	raw   *rawPage // instead of chunks, for a client that takes no compressed answer
	names []string // instead of chunks, of files
}

const chunkSize = 32 << 10

type chunk struct {
	bytes [chunkSize]byte
	used  int
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// Write appends to the page.
func (p *page) Write(b []byte) (int, error) {
	all := len(b)
	for len(b) > 0 {
		if len(p.chunks) == 0 || p.chunks[len(p.chunks)-1].used == chunkSize {
			c := chunks.Get().(*chunk)
			c.used = 0
			p.chunks = append(p.chunks, c)
		}
		last := p.chunks[len(p.chunks)-1]
		n := copy(last.bytes[last.used:], b)
		last.used += n
		b = b[n:]
	}
	p.size += all
	return all, nil
}

func (p *page) writeTo(w io.Writer) error {
	if p.raw != nil {
		return p.raw.writeTo(w)
	}
	for _, c := range p.chunks {
		if _, err := w.Write(c.bytes[:c.used]); err != nil {
			return err
		}
	}
	return nil
}

func (p *page) free() {
	for _, c := range p.chunks {
		chunks.Put(c)
	}
	p.chunks = nil
	if p.raw != nil {
		p.raw.free()
	}
}

// buffers hold bytes that were read and are not written yet.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readSize is the most that one READ of FUSE brings. A line is never longer, because a path has at most 4
// KiB, each of which may become four bytes.
const readSize = 1 << 20

var errLine = errors.New("a line of more than a megabyte")

// newPage reads a page of Prometheus text as the mount writes it. Comments of a family come before its
// samples, the help first, and the label cgroup is the first label.
func newPage(from io.Reader, way form, paths *paths) (_ *page, err error) {
	p := new(page)
	defer func() {
		if err != nil {
			p.free()
		}
	}()
	out, end := p.writer(way)
	defer end()
	w := &writer{out: out, open: way.open, paths: paths, known: make(map[string]*place)}
	w.last = w.place(nil)
	buf := buffers.Get().(*[readSize]byte)
	defer buffers.Put(buf)
	held := 0
	for {
		n, err := from.Read(buf[held:])
		if err != nil && err != io.EOF {
			return nil, err
		}
		held += n
		whole := bytes.LastIndexByte(buf[:held], '\n') + 1
		if err := w.lines(buf[:whole]); err != nil {
			return nil, err
		}
		held = copy(buf[:], buf[whole:held])
		switch {
		case err == io.EOF && held > 0:
			return nil, fmt.Errorf("the last line has no end: %w", io.ErrUnexpectedEOF)
		case err == io.EOF:
			return p, nil
		case held == readSize:
			return nil, errLine
		}
	}
}

// writer writes lines anew.
type writer struct {
	out  io.Writer
	open bool
	buf  []byte // not written to out yet

	paths   *paths
	known   map[string]*place // by the label cgroup
	last    *place            // of the last sample
	help    []byte            // of a family before its type has come
	counter bool              // the family is one
}

// place is a cgroup of a page.
type place struct {
	*added
	next *place // the cgroup that came after it in the family before
}

var cgroupLabel = []byte(`{cgroup="`)

// writeSize is the most that is kept in buf, but for a line.
const writeSize = 32 << 10

// lines writes some whole lines.
func (w *writer) lines(b []byte) error {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		line := b[:end]
		b = b[end:]
		if line[0] == '#' && w.open {
			w.comment(line)
		} else {
			w.line(line)
		}
		if len(w.buf) >= writeSize || len(b) == 0 {
			if _, err := w.out.Write(w.buf); err != nil {
				return err
			}
			w.buf = w.buf[:0]
		}
	}
	return nil
}

// line writes a sample with the labels that its cgroup's path tells, or another line as it is.
func (w *writer) line(line []byte) {
	brace := bytes.IndexByte(line, '{')
	if brace < 0 || !bytes.HasPrefix(line[brace:], cgroupLabel) {
		w.buf = append(w.buf, line...)
		return
	}
	begin := brace + len(cgroupLabel)
	a, end := w.labels(line[begin:])
	if a == nil {
		w.buf = append(w.buf, line...)
		return
	}
	end += begin
	w.buf = append(w.buf, line[:end]...)
	w.buf = append(w.buf, a.without(line[end:])...)
	w.buf = append(w.buf, line[end:]...)
}

// labels returns the labels of a cgroup, and the place after its path and the quote. All families have the
// cgroups in the same order, so it mostly is the last sample's cgroup, or the next one.
func (w *writer) labels(b []byte) (a *added, end int) {
	for _, p := range [...]*place{w.last, w.last.next} {
		if p != nil && len(b) > len(p.path) && b[len(p.path)] == '"' && string(b[:len(p.path)]) == p.path {
			w.last = p
			return p.added, len(p.path) + 1
		}
	}
	for ; end < len(b) && b[end] != '"'; end++ {
		if b[end] == '\\' {
			end++
		}
	}
	if end >= len(b) {
		return nil, 0
	}
	w.last.next = w.place(b[:end])
	w.last = w.last.next
	return w.last.added, end + 1
}

// place returns the cgroup with the path as it is written.
func (w *writer) place(path []byte) *place {
	p := w.known[string(path)]
	if p == nil {
		p = &place{added: w.paths.of(path)}
		w.known[p.path] = p
	}
	return p
}
