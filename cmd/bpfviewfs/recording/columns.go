package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	"bpfviewfs/iter/raw"
)

// The raw output of a tree is kept as its difference to the tree before. Cgroups are the same if id, path and
// number of records are. A record of another cgroup is the difference to zeros. The differences are sorted by
// columns, which are the numbers at one place of all records:
//
//	header     length and bytes
//	cgroups    their number; then again and again how many of the tree before to skip, how many to
//	           take, and how many new ones follow: id (as the difference to the new one before), path,
//	           number of records
//	changes    for each column a bit for each record, set if the number changed; exclusive or with the
//	           column before
//	values     for each column the number of its planes, then that many planes: the lowest bytes of the
//	           differences that are not 0, then the next bytes
//
// Numbers are varints; differences have their sign in the lowest bit. The first records of all cgroups go
// before the second records, because they are about the same thing. So columns are alike within themselves,
// and zstd finds in them little more than the noise of the values.

var errCut = errors.New("it is cut off")

// tree is raw output, taken apart.
type tree struct {
	head   []byte
	size   int // of a record
	frames []raw.Frame
}

// parseTree reports whether raw output is a tree that [tree.append] makes again bit by bit.
func parseTree(b []byte) (*tree, bool) {
	o, err := raw.Parse(b)
	if err != nil || !o.Tree {
		return nil, false
	}
	t := &tree{b[:orderOf(b).Uint16(b[4:])], o.Size, o.Frames}
	return t, bytes.Equal(t.append(make([]byte, 0, len(b))), b)
}

// leaveOutAverages makes averages over time not available. The recording has their counters, and so the
// average of any time. An average that fades away would be a change in each snapshot, and these would be most
// of a file.
func (t *tree) leaveOutAverages(s *raw.Schema) {
	for i := range s.Members {
		m := &s.Members[i]
		if !m.Average || !m.Optional {
			continue
		}
		for _, f := range t.frames {
			for at := m.Offset; at+m.Size <= len(f.Records); at += t.size {
				for k := range m.Size {
					f.Records[at+k] = 0xff
				}
			}
		}
	}
}

// orderOf is the byte order of a header of raw output.
func orderOf(head []byte) binary.ByteOrder {
	if head[7]&1 != 0 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// append makes raw output.
func (t *tree) append(dst []byte) []byte {
	dst = append(dst, t.head...)
	order := orderOf(t.head)
	pad := func() {
		for len(dst)%8 > 0 {
			dst = append(dst, 0)
		}
	}
	for _, f := range t.frames {
		var b [16]byte
		order.PutUint64(b[:], f.Cgroup)
		order.PutUint32(b[8:], uint32(len(f.Path)))
		order.PutUint32(b[12:], uint32(len(f.Records)/t.size))
		dst = append(append(dst, b[:]...), f.Path...)
		pad()
		dst = append(dst, f.Records...)
		pad()
	}
	return dst
}

// column is a number in each record.
type column struct{ at, width int }

// columnsOf divides a record of some size. No column has bytes of two members of the schema.
func columnsOf(s *raw.Schema, size int) (all []column) {
	begins := make(map[int]bool)
	for i := range s.Members {
		begins[s.Members[i].Offset] = true
	}
	for at := 0; at < size; {
		width := 8
		for ; width > 1; width /= 2 {
			inside := false
			for k := at + 1; k < at+width; k++ {
				inside = inside || begins[k]
			}
			if at%width == 0 && at+width <= size && !inside {
				break
			}
		}
		all = append(all, column{at, width})
		at += width
	}
	return all
}

func (c column) load(record []byte) uint64 {
	switch b := record[c.at:]; c.width {
	case 8:
		return binary.LittleEndian.Uint64(b)
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	default:
		return uint64(b[0])
	}
}

func (c column) store(record []byte, v uint64) {
	switch b := record[c.at:]; c.width {
	case 8:
		binary.LittleEndian.PutUint64(b, v)
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	default:
		b[0] = byte(v)
	}
}

// fold is the difference of two numbers of a column, with the sign in the lowest bit.
func (c column) fold(now, before uint64) uint64 {
	shift := 64 - 8*uint(c.width)
	d := int64((now-before)<<shift) >> shift
	return uint64(d<<1) ^ uint64(d>>63)
}

func unfold(z uint64) uint64 { return z>>1 ^ -(z & 1) }

// rows are the records, the first of each cgroup first. The second is called with the record before, or nil.
func rows(now *tree, before []*raw.Frame, f func(now, before []byte)) {
	left := make([]int, 0, len(now.frames))
	for i := range now.frames {
		left = append(left, i)
	}
	for at := 0; len(left) > 0; at += now.size {
		more := left[:0]
		for _, i := range left {
			if at+now.size > len(now.frames[i].Records) {
				continue
			}
			more = append(more, i)
			var old []byte
			if before[i] != nil {
				old = before[i].Records[at:][:now.size]
			}
			f(now.frames[i].Records[at:][:now.size], old)
		}
		left = more
	}
}

// packTree appends a tree as the difference to the one before, which may be nil.
func packTree(dst []byte, s *raw.Schema, now, old *tree) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(now.head)))
	dst = append(dst, now.head...)
	dst, before := packFrames(dst, now, old)

	var news, olds [][]byte
	rows(now, before, func(record, old []byte) { news, olds = append(news, record), append(olds, old) })
	columns := columnsOf(s, now.size)
	zero := make([]byte, now.size)
	size := (len(news) + 7) / 8
	bitmaps := len(dst)
	dst = append(dst, make([]byte, size*len(columns))...)
	var values []byte
	last := make([]byte, size)
	folded := make([]uint64, 0, len(news))
	for i, c := range columns {
		bitmap := make([]byte, size)
		folded = folded[:0]
		all := uint64(0)
		for k, record := range news {
			old := olds[k]
			if old == nil {
				old = zero
			}
			if z := c.fold(c.load(record), c.load(old)); z != 0 {
				bitmap[k/8] |= 1 << (k % 8)
				folded = append(folded, z)
				all |= z
			}
		}
		for k, b := range bitmap {
			dst[bitmaps+i*size+k] = b ^ last[k]
		}
		last = bitmap
		planes := (bits.Len64(all) + 7) / 8
		values = append(values, byte(planes))
		for p := range planes {
			for _, z := range folded {
				values = append(values, byte(z>>(8*p)))
			}
		}
	}
	return append(dst, values...)
}

// matches gives, for each frame of now, the number of the same frame in old, or -1 if it is new, has moved,
// or has more or fewer records. The numbers rise.
func matches(now, old *tree) []int {
	var frames []raw.Frame
	if old != nil && old.size == now.size {
		frames = old.frames
	}
	var index map[uint64]int // made if a cgroup is not at its place
	next := 0                // in frames
	numbers := make([]int, len(now.frames))
	for i := range now.frames {
		f, k := &now.frames[i], next
		numbers[i] = -1
		if k >= len(frames) || frames[k].Cgroup != f.Cgroup {
			if index == nil {
				index = make(map[uint64]int)
				for k := range frames {
					index[frames[k].Cgroup] = k
				}
			}
			var ok bool
			if k, ok = index[f.Cgroup]; !ok || k < next {
				continue
			}
		}
		if frames[k].Path == f.Path && len(frames[k].Records) == len(f.Records) {
			numbers[i], next = k, k+1
		}
	}
	return numbers
}

// packFrames appends the list of cgroups. It gives the frame of the tree before for each.
func packFrames(dst []byte, now, old *tree) (_ []byte, before []*raw.Frame) {
	numbers := matches(now, old)
	before = make([]*raw.Frame, len(numbers))
	for i, k := range numbers {
		if k >= 0 {
			before[i] = &old.frames[k]
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(numbers)))
	at, id := 0, uint64(0)
	for i := 0; i < len(numbers); {
		skip, take := 0, 0
		if numbers[i] >= 0 {
			skip = numbers[i] - at
			for at = numbers[i]; i < len(numbers) && numbers[i] == at; i++ {
				take, at = take+1, at+1
			}
		}
		fresh := i
		for fresh < len(numbers) && numbers[fresh] < 0 {
			fresh++
		}
		for _, n := range []int{skip, take, fresh - i} {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		for ; i < fresh; i++ {
			f := &now.frames[i]
			dst = binary.AppendVarint(dst, int64(f.Cgroup-id))
			id = f.Cgroup
			dst = binary.AppendUvarint(dst, uint64(len(f.Path)))
			dst = append(dst, f.Path...)
			dst = binary.AppendUvarint(dst, uint64(len(f.Records)/now.size))
		}
	}
	return dst, before
}

// source reads packed bytes. After an error it has no more.
type source struct {
	b   []byte
	err error
}

func (s *source) next(n uint64) []byte {
	if n > uint64(len(s.b)) {
		s.b, s.err = nil, errCut
		return nil
	}
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}

func (s *source) number() uint64 {
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		s.b, s.err = nil, errCut
		return 0
	}
	s.b = s.b[n:]
	return v
}

func (s *source) field() []byte { return s.next(s.number()) }

// unpackTree is the reverse of packTree. It uses all of the bytes.
func unpackTree(b []byte, s *raw.Schema, old *tree) (*tree, error) {
	in := &source{b: b}
	now := &tree{head: in.field()}
	if len(now.head) < 16 {
		return nil, errCut
	}
	if now.size = int(orderOf(now.head).Uint32(now.head[8:])); now.size <= 0 || now.size > 1<<20 {
		return nil, errCut
	}
	before := unpackFrames(in, now, old)
	if in.err != nil {
		return nil, in.err
	}
	var news [][]byte
	rows(now, before, func(record, old []byte) {
		copy(record, old)
		news = append(news, record)
	})
	columns := columnsOf(s, now.size)
	size := (len(news) + 7) / 8
	bitmaps := in.next(uint64(size * len(columns)))
	if in.err != nil {
		return nil, in.err
	}
	bitmap := make([]byte, size)
	folded := make([]uint64, 0, len(news))
	for i, c := range columns {
		changed := 0
		for k := range bitmap {
			bitmap[k] ^= bitmaps[i*size+k]
			changed += bits.OnesCount8(bitmap[k])
		}
		folded = append(folded[:0], make([]uint64, changed)...)
		planes := in.next(1)
		if in.err != nil || planes[0] > 8 {
			return nil, errCut
		}
		for p := range planes[0] {
			for k, b := range in.next(uint64(changed)) {
				folded[k] |= uint64(b) << (8 * p)
			}
		}
		for k, record := range news {
			if bitmap[k/8]&(1<<(k%8)) != 0 && len(folded) > 0 {
				c.store(record, c.load(record)+unfold(folded[0]))
				folded = folded[1:]
			}
		}
	}
	if in.err == nil && len(in.b) > 0 {
		in.err = errors.New("it goes on behind its end")
	}
	return now, in.err
}

// unpackFrames reads the list of cgroups, with records of zeros. It gives the frame of the tree before for
// each.
func unpackFrames(in *source, now, old *tree) (before []*raw.Frame) {
	var frames []raw.Frame
	if old != nil && old.size == now.size {
		frames = old.frames
	}
	count, id, total := in.number(), uint64(0), uint64(0)
	for uint64(len(now.frames)) < count && in.err == nil {
		skip, take, fresh := in.number(), in.number(), in.number()
		if skip > uint64(len(frames)) || take > uint64(len(frames))-skip || take+fresh == 0 {
			in.err = errCut
			break
		}
		frames = frames[skip:]
		for i := range frames[:take] {
			f := &frames[i]
			before = append(before, f)
			now.frames = append(now.frames, raw.Frame{Cgroup: f.Cgroup, Path: f.Path,
				Records: make([]byte, len(f.Records))})
		}
		frames = frames[take:]
		for ; fresh > 0 && in.err == nil; fresh-- {
			id += unfold(in.number())
			path := string(in.field())
			records := in.number()
			// Each column of each record has a bit.
			if total += records; records > maxFrame || total*uint64(now.size) > 64*uint64(len(in.b)) {
				in.err = errCut
				break
			}
			before = append(before, nil)
			now.frames = append(now.frames, raw.Frame{Cgroup: id, Path: path,
				Records: make([]byte, records*uint64(now.size))})
		}
	}
	if uint64(len(now.frames)) != count {
		in.err = errCut
	}
	return before
}
