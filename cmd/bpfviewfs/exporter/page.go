package exporter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
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
}

const chunkSize = 256 << 10

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
}

// zippers are used again, because each has a megabyte.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

// buffers hold bytes that were read and are not written yet.
var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// readSize is the most that one READ of FUSE brings. A line is never longer, because a path has at most 4
// KiB, each of which may become four bytes.
const readSize = 1 << 20

var errLine = errors.New("a line of more than a megabyte")

// newPage reads a page of Prometheus text as the mount writes it. Comments of a family come before its
// samples, the help first, and the label cgroup is the first label.
func newPage(from io.Reader, way form) (_ *page, err error) {
	p := new(page)
	defer func() {
		if err != nil {
			p.free()
		}
	}()
	var out io.Writer = p
	if way.gzip {
		z := zippers.Get().(*gzip.Writer)
		defer zippers.Put(z)
		z.Reset(p)
		out = z
	}
	w := &writer{out: out, open: way.open, known: make(map[string]*added)}
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
			if z, ok := out.(*gzip.Writer); ok {
				return p, z.Close()
			}
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

	known   map[string]*added // by the label cgroup
	help    []byte            // of a family before its type has come
	counter bool              // the family is one
}

var cgroupLabel = []byte(`{cgroup="`)

// lines writes some whole lines.
func (w *writer) lines(b []byte) error {
	from := 0 // everything before it is written
	for at := 0; at < len(b); {
		end := at + bytes.IndexByte(b[at:], '\n') + 1
		line := b[at:end]
		if line[0] == '#' && w.open {
			if err := w.flush(b[from:at]); err != nil {
				return err
			}
			if err := w.comment(line); err != nil {
				return err
			}
			from = end
		} else if place, more := w.more(line); more != "" {
			if err := w.flush(b[from : at+place]); err != nil {
				return err
			}
			if _, err := io.WriteString(w.out, more); err != nil {
				return err
			}
			from = at + place
		}
		at = end
	}
	return w.flush(b[from:])
}

func (w *writer) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := w.out.Write(b)
	return err
}

// more returns the addition to a sample's labels, and its place.
func (w *writer) more(line []byte) (place int, more string) {
	brace := bytes.IndexByte(line, '{')
	if brace < 0 || !bytes.HasPrefix(line[brace:], cgroupLabel) {
		return 0, ""
	}
	begin := brace + len(cgroupLabel)
	end := begin
	for ; end < len(line) && line[end] != '"'; end++ {
		if line[end] == '\\' {
			end++
		}
	}
	if end >= len(line) {
		return 0, ""
	}
	a := w.known[string(line[begin:end])]
	if a == nil {
		path := string(line[begin:end])
		a = newAdded(path)
		w.known[path] = a
	}
	if a.all == "" {
		return 0, ""
	}
	return end + 1, a.without(line[end+1:])
}
