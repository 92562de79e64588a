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

// Raw decodes a raw rendering by the comment at records.RawHeader.
func Raw(b []byte) (o RawOutput, err error) {
	if len(b) < 32 || string(b[:4]) != "BPFV" || b[6] != 1 {
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
	}
	if header < 32 || header > len(b) || o.Size == 0 {
		return o, errRaw
	}
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
