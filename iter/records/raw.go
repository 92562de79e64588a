package records

import "encoding/binary"

// RawHeader is the size of the header that a raw rendering begins with. It and all that follows have the byte
// order of the machine. docs/raw.md describes it for readers:
//
//	offset size
//	     0    4  "BPFV"
//	     4    2  size of this header, 80 or more: more may be added at its end
//	     6    1  version of this layout, 1
//	     7    1  flags: 1 big-endian, 2 tree
//	     8    4  size of a record
//	    12    4  version of the record (VIEW_VERSION)
//	    16    8  hash of the record type, the bytes of the schema's "hash"
//	    24    8  id of the cgroup that was asked for
//	    32    8  begin of the run, in nanoseconds since boot (CLOCK_BOOTTIME)
//	    40    8  begin of the run, in nanoseconds of Unix time
//	    48    8  end of the run, in nanoseconds since boot
//	    56    8  skew in nanoseconds, see Snapshot; 0 for a view alone
//	    64    8  size of the whole, from this header to the last byte
//	    72    8  size of the view's name; 0 for a view alone
//	    80       the name, padded with zero bytes to a multiple of eight, is part of the header
//
// Then come the records, as the program wrote them. In a tree a frame for each cgroup comes instead. It
// begins with 16 bytes. It is padded with zero bytes to a multiple of eight after the path and at its end:
//
//	 0    8  id of the cgroup
//	 8    4  length of its path, relative to the cgroup that was asked for
//	12    4  number of its records
//	16       path, records
//
// The tree of an encoded view has records of one byte, and a hash of zeros. A union is the raw renderings of
// its views, one after the other, each with its name.
const RawHeader = 80

const (
	rawSizeAt   = 64
	frameHeader = 16

	rawMagic   = "BPFV"
	rawVersion = 1
	rawBig     = 1
	rawTree    = 2
)

func (o *Output) appendRaw(dst []byte) ([]byte, error) {
	begin, size := len(dst), o.recordSize()
	dst = o.appendRawHeader(dst)
	o.beginSubjects(Raw)
	for i := range o.parts {
		p := &o.parts[i]
		if o.tree {
			frame := len(dst)
			dst = append(dst, o.subjectOf(p.number)...)
			binary.NativeEndian.PutUint32(dst[frame+frameHeader-4:], uint32(p.count(size)))
		}
		dst = append(dst, o.raw[p.raw:p.rawEnd]...)
		if o.tree {
			dst = appendPadding(dst, begin)
		}
		if err := o.fits(dst); err != nil {
			return nil, err
		}
	}
	binary.NativeEndian.PutUint64(dst[begin+rawSizeAt:], uint64(len(dst)-begin))
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
	name := ""
	if o.union {
		name = o.view
	}
	dst = append(dst, rawMagic...)
	dst = binary.NativeEndian.AppendUint16(dst, uint16(RawHeader+(len(name)+7)&^7))
	dst = append(dst, rawVersion, flags)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(o.recordSize()))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(o.version))
	var sum [8]byte
	if o.record != nil {
		sum = o.record.sum
	}
	dst = append(dst, sum[:]...)
	for _, v := range []uint64{
		o.cgroup, uint64(o.snapshot.Begin), uint64(o.snapshot.BeginUnix.UnixNano()),
		uint64(o.snapshot.End),
		uint64(o.snapshot.Skew), 0, uint64(len(name)),
	} {
		dst = binary.NativeEndian.AppendUint64(dst, v)
	}
	return appendPadding(append(dst, name...), o.from)
}

func (o *Output) recordSize() int {
	if o.record == nil {
		return 1
	}
	return o.record.size
}

// appendPadding pads what begins at from to a multiple of eight.
func appendPadding(dst []byte, from int) []byte {
	n := len(dst) + -(len(dst)-from)&7
	return binary.NativeEndian.AppendUint64(dst, 0)[:n]
}
