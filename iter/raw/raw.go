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
	if err == nil && len(rest) > 0 {
		return nil, fmt.Errorf("%w of one view: %d bytes follow; ParseUnion reads several",
			ErrFormat, len(rest))
	}
	return o, err
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
	if len(b) < headerSize || string(b[:4]) != magic {
		return nil, nil, fmt.Errorf("%w: it does not begin with %d bytes of a header",
			ErrFormat, headerSize)
	}
	if b[6] != layout {
		return nil, nil, fmt.Errorf("%w: its layout is version %d, and not %d",
			ErrFormat, b[6], layout)
	}
	o = &Output{BigEndian: b[7]&bigEndian != 0, Tree: b[7]&tree != 0}
	order := o.order()
	header := uint64(order.Uint16(b[4:]))
	o.Size, o.Version = int(order.Uint32(b[8:])), order.Uint32(b[12:])
	o.Hash, o.Cgroup = fmt.Sprintf("%x", b[16:24]), order.Uint64(b[24:])
	o.Begin, o.BeginUnix = time.Duration(order.Uint64(b[32:])), time.Unix(0, int64(order.Uint64(b[40:])))
	o.End, o.Skew = time.Duration(order.Uint64(b[48:])), time.Duration(order.Uint64(b[56:]))
	whole, name := order.Uint64(b[64:]), order.Uint64(b[72:])
	if header < headerSize || whole < header || whole > uint64(len(b)) || o.Size <= 0 ||
		name > header-headerSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, by its header %d and %d more, in records of %d",
			ErrFormat, len(b), header, whole-header, o.Size)
	}
	o.View = string(b[headerSize:][:name])
	o.Frames, err = o.frames(b[header:whole:whole])
	return o, b[whole:], err
}

func (o *Output) frames(b []byte) (frames []Frame, err error) {
	order := o.order()
	if !o.Tree {
		if len(b)%o.Size != 0 {
			return nil, fmt.Errorf("%w: %d bytes are no whole number of records of %d",
				ErrFormat, len(b), o.Size)
		}
		return []Frame{{o.Cgroup, ".", b}}, nil
	}
	for len(b) > 0 {
		if len(b) < frameSize {
			return nil, fmt.Errorf("%w: it ends in a frame", ErrFormat)
		}
		f := Frame{Cgroup: order.Uint64(b)}
		path, records := uint64(order.Uint32(b[8:])), uint64(order.Uint32(b[12:]))*uint64(o.Size)
		b = b[frameSize:]
		if padded(path) > uint64(len(b)) || padded(records) > uint64(len(b))-padded(path) {
			return nil, fmt.Errorf("%w: it ends in the frame of cgroup %d", ErrFormat, f.Cgroup)
		}
		f.Path, f.Records = string(b[:path]), b[padded(path):][:records:records]
		b = b[padded(path)+padded(records):]
		frames = append(frames, f)
	}
	return frames, nil
}

// padded is a size with the zero bytes up to the next multiple of eight.
func padded(n uint64) uint64 { return (n + 7) &^ 7 }

func (o *Output) order() binary.ByteOrder {
	if o.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

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
