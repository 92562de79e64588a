package exporter

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A compressed page is a part of a member of gzip (RFC 1952). It has blocks of deflate (RFC 1951), the last
// of which ends with a whole byte and is not marked as the last. So pages are compressed apart, shared by
// scrapes, and put together to one member. Clients would not do for several, which gzip allows: curl 7.88
// fails after the first, and wget 1.21 ends there without a word.

// packer compresses text to a page.
type packer struct {
	flate *flate.Writer
	to    *page
}

// packers are used again, because each has a megabyte.
var packers = sync.Pool{New: func() any {
	z, _ := flate.NewWriter(nil, flate.BestSpeed)
	return &packer{flate: z}
}}

func newPacker(to *page) *packer {
	z := packers.Get().(*packer)
	z.to = to
	z.flate.Reset(to)
	return z
}

func (z *packer) Write(b []byte) (int, error) {
	z.to.sum = crc32.Update(z.to.sum, crc32.IEEETable, b)
	z.to.text += int64(len(b))
	return z.flate.Write(b)
}

// end ends the page. A page takes all, so nothing fails.
func (z *packer) end() {
	_ = z.flate.Flush()
	packers.Put(z)
}

// writeGzip writes compressed pages as one member.
func writeGzip(w io.Writer, pages []*page) error {
	all := &page{}
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255} // deflate, no time, quick, any system
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, p := range pages {
		if err := p.writeTo(w); err != nil {
			return err
		}
		all.sumUp(p)
	}
	end := []byte{1, 0, 0, 0xff, 0xff} // a last block, stored, of no bytes
	end = binary.LittleEndian.AppendUint32(end, all.sum)
	_, err := w.Write(binary.LittleEndian.AppendUint32(end, uint32(all.text)))
	return err
}

// sumUp adds the text of next, which comes after p, to the sum of p.
func (p *page) sumUp(next *page) {
	p.sum = joinSums(p.sum, next.sum, next.text)
	p.text += next.text
}

// writer returns a writer to the page, and a function that ends the page.
func (p *page) writer(way form) (out io.Writer, end func()) {
	if !way.gzip {
		return p, func() {}
	}
	z := newPacker(p)
	return z, z.end
}

// joinSums returns the CRC-32 of two texts in a row, from their sums and the length of the second. A sum is a
// polynomial modulo that of CRC-32, and n zero bytes multiply it by x to the power of 8n.
func joinSums(first, second uint32, n int64) uint32 {
	power := uint32(1 << 30) // x to the power of 1, 2, 4, 8 ...; the highest bit is 1
	for range 3 {
		power = multiply(power, power)
	}
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			first = multiply(first, power)
		}
		power = multiply(power, power)
	}
	return first ^ second
}

// multiply multiplies two polynomials modulo that of CRC-32.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ crc32.IEEE*carry
	}
	return product
}
