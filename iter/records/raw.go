package records

import (
	"encoding/binary"
)

// RawHeader is the size of the header that a raw rendering begins with. It and all that follows have the byte
// order of the machine:
//
//	offset size
//	     0    4  "BPFV"
//	     4    2  size of this header, 32; more may be added at its end
//	     6    1  version of this layout, 1
//	     7    1  flags: 1 big-endian, 2 tree
//	     8    4  size of a record
//	    12    4  version of the record (VIEW_VERSION)
//	    16    8  hash of the record type, the bytes of the schema's "hash"
//	    24    8  id of the cgroup that was asked for
//
// Then come the records, as the program wrote them. In a tree a frame for each cgroup comes instead. It
// begins with 16 bytes. It is padded with zero bytes to a multiple of eight after the path and at its end:
//
//	 0    8  id of the cgroup
//	 8    4  length of its path, relative to the cgroup that was asked for
//	12    4  number of its records
//	16       path, records
//
// The tree of an encoded view has records of one byte, and a hash of zeros.
const RawHeader = 32

const (
	rawMagic   = "BPFV"
	rawVersion = 1
	rawBig     = 1
	rawTree    = 2
)

func (o *Output) appendRaw(dst []byte) ([]byte, error) {
	dst = o.appendRawHeader(dst)
	for i := range o.parts {
		p := &o.parts[i]
		if o.tree {
			path := o.path(p.node)
			dst = binary.NativeEndian.AppendUint64(dst, o.Cgroup(p.node))
			dst = binary.NativeEndian.AppendUint32(dst, uint32(len(path)))
			dst = binary.NativeEndian.AppendUint32(dst, uint32((p.rawEnd-p.raw)/o.recordSize()))
			dst = o.appendPadding(append(dst, path...))
		}
		dst = append(dst, o.raw[p.raw:p.rawEnd]...)
		if o.tree {
			dst = o.appendPadding(dst)
		}
		if err := o.fits(dst); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func (o *Output) appendRawHeader(dst []byte) []byte {
	flags := byte(0)
	if bigEndian {
		flags |= rawBig
	}
	if o.tree {
		flags |= rawTree
	}
	dst = append(dst, rawMagic...)
	dst = binary.NativeEndian.AppendUint16(dst, RawHeader)
	dst = append(dst, rawVersion, flags)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(o.recordSize()))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(o.version))
	var sum [8]byte
	if o.record != nil {
		sum = o.record.sum
	}
	dst = append(dst, sum[:]...)
	return binary.NativeEndian.AppendUint64(dst, o.cgroup)
}

func (o *Output) recordSize() int {
	if o.record == nil {
		return 1
	}
	return o.record.size
}

func (o *Output) appendPadding(dst []byte) []byte {
	var zeros [8]byte
	return append(dst, zeros[:-(len(dst)-o.from)&7]...)
}
