package readers

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// RawOutput is the content of a raw rendering.
type RawOutput struct {
	Flags   byte
	Size    int // of a record
	Version uint32
	Hash    string
	Cgroup  uint64
	View    string // of a union; else ""
	Begin   uint64 // in nanoseconds since boot, as End
	Unix    uint64 // the begin, in nanoseconds of Unix time
	End     uint64
	Skew    uint64  // in nanoseconds
	Frames  []Frame // of a tree
	Records []byte  // of one cgroup
}

// Frame is the part of one cgroup in a tree.
type Frame struct {
	Cgroup  uint64
	Path    string
	Records []byte
}

var errRaw = errors.New("this is no raw output")

// RawUnion decodes the raw renderings of several views.
func RawUnion(b []byte) (all []RawOutput, err error) {
	for len(b) > 0 {
		if len(b) < 80 {
			return nil, errRaw
		}
		size := binary.NativeEndian.Uint64(b[64:])
		if size < 80 || size > uint64(len(b)) {
			return nil, errRaw
		}
		o, err := Raw(b[:size])
		if err != nil {
			return nil, err
		}
		all, b = append(all, o), b[size:]
	}
	return all, nil
}

// Raw decodes a raw rendering by the comment at records.RawHeader.
func Raw(b []byte) (o RawOutput, err error) {
	if len(b) < 80 || string(b[:4]) != "BPFV" || b[6] != 1 {
		return o, errRaw
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[7]&1 != 0 {
		order = binary.BigEndian
	}
	header := int(order.Uint16(b[4:]))
	o = RawOutput{
		Flags: b[7], Size: int(order.Uint32(b[8:])), Version: order.Uint32(b[12:]),
		Hash: fmt.Sprintf("%x", b[16:24]), Cgroup: order.Uint64(b[24:]),
		Begin: order.Uint64(b[32:]), Unix: order.Uint64(b[40:]), End: order.Uint64(b[48:]),
		Skew: order.Uint64(b[56:]),
	}
	name := order.Uint64(b[72:])
	whole := order.Uint64(b[64:]) == uint64(len(b))
	if header < 80 || header > len(b) || o.Size == 0 || !whole || name > uint64(header-80) {
		return o, errRaw
	}
	o.View = string(b[80:][:name])
	b = b[header:]
	if o.Flags&2 == 0 {
		o.Records = b
		return o, nil
	}
	pad := func(n int) int { return (n + 7) &^ 7 }
	for len(b) > 0 {
		if len(b) < 16 {
			return o, errRaw
		}
		f := Frame{Cgroup: order.Uint64(b)}
		path, records := int(order.Uint32(b[8:])), int(order.Uint32(b[12:]))*o.Size
		b = b[16:]
		if pad(path) > len(b) || pad(records) > len(b)-pad(path) {
			return o, errRaw
		}
		f.Path, f.Records = string(b[:path]), b[pad(path):][:records]
		b = b[pad(path)+pad(records):]
		o.Frames = append(o.Frames, f)
	}
	return o, nil
}
