package exporter

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"bpfviewfs/cmd/bpfviewfs/labels"
	"bpfviewfs/cmd/bpfviewfs/samples"
)

// outputs are used again, because each has some megabytes.
var outputs = sync.Pool{New: func() any { return new([]byte) }}

// rawPage is the raw output of a view.
type rawPage struct {
	*samples.Page
	blocks []samples.Block
	open   bool
	output *[]byte
}

// readRaw makes the page of a view from its raw output. It is the page that the file in textfile gives, in
// half the time, because the mount writes no text and nothing is parsed. It is samples.ErrText if the file
// has to be read.
func (e *Exporter) readRaw(name string, way form) (*page, error) {
	schema, err := os.ReadFile(filepath.Join(e.options.Mount, ".bpfview/schema", name+".json"))
	if err != nil {
		return nil, samples.ErrText // the text says why
	}
	view, err := samples.New(schema, labels.Names...)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(e.options.Mount, ".bpfview/tree", name+".raw"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &rawPage{Page: view, open: way.open, output: outputs.Get().(*[]byte)}
	if *p.output, err = readAll(file, *p.output); err == nil {
		err = view.Read(*p.output, func(path []byte) string { return e.paths.of(path).whole })
	}
	if err != nil {
		p.free()
		return nil, err
	}
	p.blocks = view.Blocks(blockSize)
	if !way.gzip {
		return &page{raw: p}, nil
	}
	defer p.free()
	return p.compress(), nil
}

func (p *rawPage) free() { outputs.Put(p.output) }

// readAll is io.ReadAll, into the room of b. The file tells its size, mostly the right one.
func readAll(from *os.File, b []byte) ([]byte, error) {
	info, err := from.Stat()
	if err != nil {
		return b, err
	}
	b = slices.Grow(b[:0], int(info.Size())+1)
	for {
		b = slices.Grow(b, 1)
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// blockSize is the number of samples that are compressed at a time. They have half a megabyte.
const blockSize = 4096

// writeTo writes the text as it is made. All of it would be twenty times the raw output.
func (p *rawPage) writeTo(w io.Writer) error {
	var text [2 * writeSize]byte
	for _, block := range p.blocks {
		if err := p.writeBlock(w, text[:0], block); err != nil {
			return err
		}
	}
	return nil
}

// writeBlock writes a block as it is sent. buf is room.
func (p *rawPage) writeBlock(w io.Writer, buf []byte, block samples.Block) error {
	comments := block.Comments
	if p.open {
		comments = openComments(comments)
	}
	return p.Write(w, append(buf, comments...), block)
}

// compress makes a compressed page on all CPUs.
func (p *rawPage) compress() *page {
	pages := make([]page, len(p.blocks))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(pages)) {
		all.Go(func() {
			var text [2 * writeSize]byte
			for i := next.Add(1) - 1; i < int64(len(pages)); i = next.Add(1) - 1 {
				z := newPacker(&pages[i])
				_ = p.writeBlock(z, text[:0], p.blocks[i]) // a page takes all
				z.end()
			}
		})
	}
	all.Wait()
	whole := new(page)
	for i := range pages {
		whole.chunks = append(whole.chunks, pages[i].chunks...)
		whole.size += pages[i].size
		whole.sumUp(&pages[i])
	}
	return whole
}

// openComments are comments as OpenMetrics has them.
func openComments(comments string) string {
	var w writer
	for line := range strings.Lines(comments) {
		w.comment([]byte(line))
	}
	return string(w.buf)
}
