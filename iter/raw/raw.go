// Package raw reads raw output: the structs of a view, as .bpfview/raw/VIEW and .bpfview/tree/VIEW.raw have
// them, and the schema that describes them, .bpfview/schema/VIEW.json. docs/raw.md has the layout. It is for
// programs that read many records and want no text between. docs/examples/bpfview_raw.py does the same in
// Python.
package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"
)

// ErrFormat is wrapped by the errors of bytes that are no raw output, or that end too early.
var ErrFormat = errors.New("no raw output")

// Output is the raw output of one view.
type Output struct {
	View      string // its name in a union; "" in a file of one view
	Tree      bool   // of a cgroup and all below it
	BigEndian bool   // byte order of the records
	Size      int    // of a record in bytes; 1 in a tree of an encoded view
	Version   uint32 // that the view gives its record; 0 if it has none
	Hash      string // of the record's type, as the schema has it: 16 hexadecimal digits
	Cgroup    uint64 // id of the cgroup that was read

	Begin, End time.Duration // of the run, since boot (CLOCK_BOOTTIME)
	BeginUnix  time.Time
	Skew       time.Duration // of a union: the longest time between two views of one cgroup

	// Frames are the cgroups in pre-order. Output of one cgroup has one frame, with the path ".".
	Frames []Frame
}

// Frame is the output about one cgroup.
type Frame struct {
	Cgroup  uint64 // id
	Path    string // below the cgroup that was read; "." is that cgroup. It may hold any byte but NUL.
	Records []byte // whole records, one after the other
}

// Layout of docs/raw.md.
const (
	magic      = "BPFV"
	headerSize = 80
	frameSize  = 16
	layout     = 1
	bigEndian  = 1
	tree       = 2
)

// Parse takes the raw output of one view apart. The frames share its memory. Bytes that end too early, or go
// on, are an error.
func Parse(b []byte) (*Output, error) {
	o, rest, err := parse(b)
	if err == nil {
		err = atEnd(rest)
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// atEnd refuses bytes after the output of one view.
func atEnd(rest []byte) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w of one view: %d bytes follow; ParseUnion reads several", ErrFormat, len(rest))
	}
	return nil
}

// ParseUnion takes the raw output of several views apart, for example of .bpfview/tree/cpu+psi.raw.
func ParseUnion(b []byte) (all []*Output, err error) {
	for len(b) > 0 {
		var o *Output
		if o, b, err = parse(b); err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func parse(b []byte) (o *Output, rest []byte, err error) {
	h, body, rest, err := split(b)
	if err != nil {
		return nil, nil, err
	}
	u64 := func(at int) uint64 { return h.order.Uint64(b[at:]) }
	o = &Output{
		View: string(h.view), Tree: h.tree, BigEndian: h.order == binary.BigEndian,
		Size: h.size, Version: h.order.Uint32(b[12:]), Hash: fmt.Sprintf("%x", h.hash), Cgroup: h.cgroup,
		Begin: time.Duration(u64(32)), BeginUnix: time.Unix(0, int64(u64(40))),
		End: time.Duration(u64(48)), Skew: time.Duration(u64(56)),
	}
	err = h.each(body, func(cgroup uint64, path, records []byte) bool {
		o.Frames = append(o.Frames, Frame{cgroup, string(path), records})
		return true
	})
	return o, rest, err
}

// header is the part of a header that tells how to read what follows.
type header struct {
	order  binary.ByteOrder
	tree   bool
	size   int // of a record
	hash   []byte
	view   []byte
	cgroup uint64
}

// split divides the output of one view, which others may follow, into its header and what that is about.
func split(b []byte) (h header, body, rest []byte, err error) {
	if len(b) < headerSize || string(b[:4]) != magic {
		return h, nil, nil, fmt.Errorf("%w: it does not begin with %d bytes of a header",
			ErrFormat, headerSize)
	}
	if b[6] != layout {
		return h, nil, nil, fmt.Errorf("%w: its layout is version %d, and not %d",
			ErrFormat, b[6], layout)
	}
	h = header{order: binary.LittleEndian, tree: b[7]&tree != 0, hash: b[16:24]}
	if b[7]&bigEndian != 0 {
		h.order = binary.BigEndian
	}
	size := uint64(h.order.Uint16(b[4:]))
	h.size, h.cgroup = int(h.order.Uint32(b[8:])), h.order.Uint64(b[24:])
	whole, name := h.order.Uint64(b[64:]), h.order.Uint64(b[72:])
	if size < headerSize || whole < size || whole > uint64(len(b)) || h.size <= 0 || name > size-headerSize {
		return h, nil, nil, fmt.Errorf("%w: %d bytes, by its header %d and %d more, in records of %d",
			ErrFormat, len(b), size, whole-size, h.size)
	}
	h.view = b[headerSize:][:name]
	return h, b[size:whole:whole], b[whole:], nil
}

var dot = []byte(".")

// each calls f for each cgroup of what follows the header, until it returns false.
func (h *header) each(b []byte, f func(cgroup uint64, path, records []byte) bool) error {
	if !h.tree {
		if len(b)%h.size != 0 {
			return fmt.Errorf("%w: %d bytes are no whole number of records of %d",
				ErrFormat, len(b), h.size)
		}
		f(h.cgroup, dot, b)
		return nil
	}
	for len(b) > 0 {
		if len(b) < frameSize {
			return fmt.Errorf("%w: it ends in a frame", ErrFormat)
		}
		cgroup := h.order.Uint64(b)
		path, records := uint64(h.order.Uint32(b[8:])), uint64(h.order.Uint32(b[12:]))*uint64(h.size)
		b = b[frameSize:]
		if padded(path) > uint64(len(b)) || padded(records) > uint64(len(b))-padded(path) {
			return fmt.Errorf("%w: it ends in the frame of cgroup %d", ErrFormat, cgroup)
		}
		if !f(cgroup, b[:path:path], b[padded(path):][:records:records]) {
			return nil
		}
		b = b[padded(path)+padded(records):]
	}
	return nil
}

// padded is a size with the zero bytes up to the next multiple of eight.
func padded(n uint64) uint64 { return (n + 7) &^ 7 }

// All yields each record with the frame that it is in.
func (o *Output) All() iter.Seq2[*Frame, []byte] {
	return func(yield func(*Frame, []byte) bool) {
		for i := range o.Frames {
			f := &o.Frames[i]
			for at := 0; at+o.Size <= len(f.Records); at += o.Size {
				if !yield(f, f.Records[at:at+o.Size]) {
					return
				}
			}
		}
	}
}
