// Package recording keeps snapshots of views in one file.
//
// A file begins with the line "bpfviewfs recording 2". Frames follow, one for each snapshot, of the form
//
//	offset size, little-endian
//	     0    4  length of the payload in bytes
//	     4    4  CRC-32C of the rest of the head and of the payload
//	     8    8  time of the snapshot in nanoseconds since 1970
//	    16    1  flags: 1 can be read without the frames before; 2 columns
//	    17       payload, compressed by zstd
//
// The payload has for each view its name, its schema and its raw bytes, each behind its length. In a frame
// that needs those before, a schema that is the same is left out. With the flag for columns, a byte follows
// the schema: 1 if the raw bytes are a tree as columns.go has it, 0 if they are as they came. A frame of
// version 1 has no such flag: its raw bytes are as they came, or the exclusive or with the frame before if
// the length is the same. A recording of version 1 that goes on becomes one of version 2.
//
// A frame that was cut off ends the recording, and the next recorder removes it. The index of a file is the
// heads of its frames.
package recording

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bpfviewfs/iter/raw"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const (
	magic    = "bpfviewfs recording 2\n"
	magic1   = "bpfviewfs recording 1\n" // it is read, too
	headSize = 17
	keyEvery = 240 // frames
	maxFrame = 1 << 30
)

// Flags of a frame.
const (
	isKey      = 1
	hasColumns = 2
)

// ErrForeign means that a file is no recording, or one of another version.
var ErrForeign = errors.New("it is no recording that this program reads")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Part is the content of a snapshot from one view.
type Part struct {
	View   string
	Schema []byte // JSON
	Raw    []byte // a tree
}

// Limits bound a file. Zero is no limit.
type Limits struct {
	Bytes int64
	Age   time.Duration
}

// head is the place of a frame.
type head struct {
	at     int64 // of its payload
	length int
	time   time.Time
	flags  byte
	sum    uint32
}

func (h head) key() bool { return h.flags&isKey != 0 }

func (h head) end() int64 { return h.at + int64(h.length) }

// scan reads the heads of a file's whole frames.
func scan(file *os.File) (heads []head, err error) {
	begin := make([]byte, len(magic))
	if n, err := file.ReadAt(begin, 0); string(begin[:n]) != magic && string(begin[:n]) != magic1 {
		if err != nil && err != io.EOF {
			return nil, err
		}
		word := "it does not begin as a recording"
		if version, ok := strings.CutPrefix(string(begin[:n]), magic[:len(magic)-2]); ok {
			word = fmt.Sprintf("its version is %q, and not 1 or 2", strings.TrimSpace(version))
		}
		return nil, fmt.Errorf("%s: %w: %s", file.Name(), ErrForeign, word)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	at := int64(len(magic))
	var b [headSize]byte
	for {
		if _, err := file.ReadAt(b[:], at); err == io.EOF {
			return heads, nil
		} else if err != nil {
			return nil, err
		}
		h := head{
			at: at + headSize, length: int(binary.LittleEndian.Uint32(b[:])),
			sum:  binary.LittleEndian.Uint32(b[4:]),
			time: time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))), flags: b[16],
		}
		if h.length > maxFrame || h.end() > info.Size() {
			return heads, nil // cut off
		}
		heads = append(heads, h)
		at = h.end()
	}
}

// Reader reads a recording.
type Reader struct {
	file  *os.File
	heads []head
	zstd  *zstd.Decoder
	parts []Part // of the frame with the number at
	at    int
}

// Open opens a recording for reading.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	heads, err := scan(file)
	if err == nil && len(heads) == 0 {
		err = fmt.Errorf("%s: it has no whole snapshot", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Reader{file: file, heads: heads, zstd: decoder, at: -1}, nil
}

// Len is the number of snapshots.
func (r *Reader) Len() int { return len(r.heads) }

// Time is the time of a snapshot.
func (r *Reader) Time(i int) time.Time { return r.heads[i].time }

// Close closes the file.
func (r *Reader) Close() error {
	r.zstd.Close()
	return r.file.Close()
}

// Parts are the views of a snapshot.
func (r *Reader) Parts(i int) ([]Part, error) {
	from := i
	for from > 0 && !r.heads[from].key() && from != r.at+1 {
		from--
	}
	if r.at == i {
		return r.parts, nil
	}
	if !r.heads[from].key() && (r.at < 0 || from != r.at+1) {
		return nil, fmt.Errorf("%s: snapshot %d needs one that is missing: %w",
			r.file.Name(), i, ErrForeign)
	}
	for n := from; n <= i; n++ {
		if err := r.next(n); err != nil {
			r.at = -1
			return nil, fmt.Errorf("%s: snapshot %d: %w", r.file.Name(), n, err)
		}
		r.at = n
	}
	return r.parts, nil
}

// next reads the frame n after that before it.
func (r *Reader) next(n int) error {
	h := r.heads[n]
	whole := make([]byte, headSize+h.length)
	if _, err := r.file.ReadAt(whole, h.at-headSize); err != nil {
		return err
	}
	if crc32.Checksum(whole[8:], castagnoli) != h.sum {
		return errors.New("its check sum is wrong")
	}
	payload, err := r.zstd.DecodeAll(whole[headSize:], nil)
	if err != nil {
		return err
	}
	before := r.parts
	if h.key() {
		before = nil
	}
	if h.flags&hasColumns != 0 {
		r.parts, err = unpack(payload, before)
	} else {
		r.parts, err = unpackFirst(payload, before)
	}
	return err
}

// pack appends a snapshot, as the difference to the one before.
func pack(dst []byte, parts, before []Part) []byte {
	field := func(b []byte) {
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	for _, p := range parts {
		field([]byte(p.View))
		old := find(before, p.View)
		if old != nil && !bytes.Equal(old.Schema, p.Schema) {
			old = nil
		}
		if old != nil {
			field(nil)
		} else {
			field(p.Schema)
		}
		s, err := raw.ParseSchema(p.Schema)
		now, ok := parseTree(p.Raw)
		if err != nil || !ok {
			dst = append(dst, 0)
			field(p.Raw)
			continue
		}
		now.leaveOutAverages(s)
		dst = append(dst, 1)
		field(packTree(nil, s, now, treeOf(old)))
	}
	return dst
}

// treeOf is the tree of a part, or nil.
func treeOf(p *Part) *tree {
	if p == nil {
		return nil
	}
	t, ok := parseTree(p.Raw)
	if !ok {
		return nil
	}
	return t
}

// unpack is the reverse of pack.
func unpack(payload []byte, before []Part) (parts []Part, err error) {
	in := &source{b: payload}
	for len(in.b) > 0 {
		p := Part{View: string(in.field()), Schema: in.field()}
		old := find(before, p.View)
		if len(p.Schema) > 0 {
			old = nil
		} else if old != nil {
			p.Schema = old.Schema
		}
		kind := in.next(1)
		packed := in.field()
		if in.err != nil {
			return nil, in.err
		}
		if p.Raw = packed; kind[0] != 0 {
			s, err := raw.ParseSchema(p.Schema)
			if err != nil {
				return nil, err
			}
			now, err := unpackTree(packed, s, treeOf(old))
			if err != nil {
				return nil, fmt.Errorf("view %s: %w", p.View, err)
			}
			p.Raw = now.append(nil)
		}
		parts = append(parts, p)
	}
	return parts, in.err
}

// unpackFirst is unpack for a frame of version 1.
func unpackFirst(payload []byte, before []Part) (parts []Part, err error) {
	in := &source{b: payload}
	for len(in.b) > 0 {
		p := Part{View: string(in.field()), Schema: in.field(), Raw: in.field()}
		if old := find(before, p.View); old != nil {
			if len(p.Schema) == 0 {
				p.Schema = old.Schema
			}
			if len(old.Raw) == len(p.Raw) {
				for i, b := range old.Raw {
					p.Raw[i] ^= b
				}
			}
		}
		parts = append(parts, p)
	}
	return parts, in.err
}

func find(parts []Part, view string) *Part {
	if i := slices.IndexFunc(parts, func(p Part) bool { return p.View == view }); i >= 0 {
		return &parts[i]
	}
	return nil
}

// Writer appends snapshots to a file.
type Writer struct {
	file   *os.File
	limits Limits
	heads  []head
	size   int64
	zstd   *zstd.Encoder
	before []Part
	since  int // frames since the last that needs none before
	buf    []byte
}

// Create opens a recording to append to, and makes it if there is none. What a recorder left that was killed
// within a frame is removed. A file that is no recording is an error, and stays as it is. One recorder writes
// to a file at a time.
func Create(path string, limits Limits) (w *Writer, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%s: another recorder writes to it: %w", path, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	w = &Writer{file: file, limits: limits, size: int64(len(magic)), since: keyEvery}
	if info.Size() < int64(len(magic)) && isBegin(file, info.Size()) {
		if _, err = file.WriteAt([]byte(magic), 0); err != nil {
			return nil, err
		}
	}
	if w.heads, err = scan(file); err != nil {
		return nil, err
	}
	if n := len(w.heads); n > 0 {
		w.size = w.heads[n-1].end()
	}
	if err = file.Truncate(w.size); err != nil {
		return nil, err
	}
	if _, err = file.WriteAt([]byte(magic), 0); err != nil { // it may be of version 1: one byte changes
		return nil, err
	}
	w.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false)) // frames have a sum
	return w, err
}

// isBegin reports whether a short file is the beginning of a recording.
func isBegin(file *os.File, size int64) bool {
	b := make([]byte, size)
	n, _ := file.ReadAt(b, 0)
	return int64(n) == size && (string(b) == magic[:size] || string(b) == magic1[:size])
}

// Append adds a snapshot, and makes the averages over time in it not available. On an error, for example a
// full disk, the file has all that it had before. If another program has moved, removed or emptied the file,
// a new one begins.
func (w *Writer) Append(at time.Time, parts []Part) error {
	if !w.isThere() {
		w.file.Close() // and its lock
		next, err := Create(w.file.Name(), w.limits)
		if err != nil {
			return err
		}
		w.zstd.Close()
		*w = *next
	}
	key := w.needsKey(at)
	before := w.before
	if key {
		before = nil
	}
	w.buf = pack(w.buf[:0], parts, before)
	frame := make([]byte, headSize, headSize+len(w.buf)/8)
	frame = w.zstd.EncodeAll(w.buf, frame)
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-headSize))
	binary.LittleEndian.PutUint64(frame[8:], uint64(at.UnixNano()))
	frame[16] = hasColumns
	if key {
		frame[16] |= isKey
	}
	sum := crc32.Checksum(frame[8:], castagnoli)
	binary.LittleEndian.PutUint32(frame[4:], sum)
	if _, err := w.file.WriteAt(frame, w.size); err != nil {
		return errors.Join(err, w.file.Truncate(w.size))
	}
	w.heads = append(w.heads, head{w.size + headSize, len(frame) - headSize, at, frame[16], sum})
	w.size += int64(len(frame))
	w.since++
	if key {
		w.since = 0
	}
	w.copyParts(parts)
	return w.bound(at)
}

// isThere reports whether the file has its name and all that was written.
func (w *Writer) isThere() bool {
	here, err := w.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(w.file.Name())
	return err == nil && os.SameFile(here, named) && here.Size() >= w.size
}

// needsKey reports whether the next frame shall need none before. That is so at least four times within the
// limits, because frames are dropped up to one of these.
func (w *Writer) needsKey(now time.Time) bool {
	if w.since >= keyEvery-1 || w.before == nil {
		return true
	}
	last := w.heads[len(w.heads)-1-w.since]
	return w.limits.Bytes > 0 && w.size-last.at > w.limits.Bytes/4 ||
		w.limits.Age > 0 && now.Sub(last.time) >= w.limits.Age/4
}

// copyParts copies a snapshot, for the difference to the next.
func (w *Writer) copyParts(parts []Part) {
	w.before = w.before[:0]
	for _, p := range parts {
		w.before = append(w.before, Part{p.View, slices.Clone(p.Schema), slices.Clone(p.Raw)})
	}
	if w.before == nil {
		w.before = []Part{}
	}
}

// bound drops the oldest frames if the file is beyond its limits, a quarter at once, by a new file in its
// place.
func (w *Writer) bound(now time.Time) error {
	first := 0
	over := func(share int64) bool {
		h := w.heads[first]
		return w.limits.Bytes > 0 && w.size-(h.at-headSize) > w.limits.Bytes*share/4 ||
			w.limits.Age > 0 && now.Sub(h.time) > w.limits.Age/4*time.Duration(share)
	}
	if !over(4) {
		return nil
	}
	for first < len(w.heads)-1 && (over(3) || !w.heads[first].key()) {
		first++
	}
	for first > 0 && !w.heads[first].key() {
		first-- // the newest part is never dropped
	}
	if first == 0 {
		return nil
	}
	from := w.heads[first].at - headSize
	path := w.file.Name()
	file, err := os.CreateTemp(filepath.Dir(path), ".recording")
	if err != nil {
		return fmt.Errorf("drop the oldest: %w", err)
	}
	out := bufio.NewWriter(file)
	out.WriteString(magic)
	_, err = io.Copy(out, io.NewSectionReader(w.file, from, w.size-from))
	err = errors.Join(err, out.Flush(), file.Chmod(0o600),
		unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		file.Close()
		return fmt.Errorf("drop the oldest: %w", err)
	}
	w.file.Close()
	// The temporary file's name is gone; its descriptor goes on under the old name.
	w.file = os.NewFile(dup(file), path)
	file.Close()
	moved := from - int64(len(magic))
	w.heads = slices.Clone(w.heads[first:])
	for i := range w.heads {
		w.heads[i].at -= moved
	}
	w.size -= moved
	return nil
}

// dup is another descriptor of a file, with the same lock.
func dup(file *os.File) uintptr {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		panic(err) // there is one descriptor less than a moment ago
	}
	return uintptr(fd)
}

// Size is the size of the file in bytes.
func (w *Writer) Size() int64 { return w.size }

// Len is the number of snapshots in the file.
func (w *Writer) Len() int { return len(w.heads) }

// Close closes the file.
func (w *Writer) Close() error {
	w.zstd.Close()
	return w.file.Close()
}
