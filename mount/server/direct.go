package server

import (
	"bytes"
	"unsafe"

	"bpfviewfs/mount/handoff"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// direct answers the common requests without go-fuse's protocol server, which allocates about 1 KB for each.
// The filesystem reads its arguments in the slot and fills the reply in the loop's buffer. direct returns
// false for a request that needs the protocol server. The replies are the same (TestDirectReplies).
func (l *loop) direct(r handoff.Request) (n int, ok bool) {
	size := argumentSize(r.Opcode())
	if size == 0 || len(r) < size || l.opts.Debug {
		return 0, false
	}
	header := (*fuse.InHeader)(unsafe.Pointer(&r[0]))
	if header.TotalExtlen != 0 {
		return 0, false
	}
	n, status := l.call(header, r)
	if status > fuse.OK {
		n = 0
	}
	n += replyHeader
	putReply(l.reply, n, -int32(max(status, 0)), r.Unique())
	return n, true
}

// argumentSize is the size of a request that is answered directly, without the name in it; 0 for all others.
func argumentSize(opcode uint32) int {
	switch opcode {
	case opLookup:
		return int(unsafe.Sizeof(fuse.InHeader{})) + 1
	case opGetattr:
		return int(unsafe.Sizeof(fuse.GetAttrIn{}))
	case opOpen, opOpendir:
		return int(unsafe.Sizeof(fuse.OpenIn{}))
	case opRead:
		return int(unsafe.Sizeof(fuse.ReadIn{}))
	case opRelease, opReleasedir:
		return int(unsafe.Sizeof(fuse.ReleaseIn{}))
	}
	return 0
}

// call calls the filesystem. It returns the size of the reply behind its header.
func (l *loop) call(h *fuse.InHeader, r handoff.Request) (n int, status fuse.Status) {
	defer func() {
		if cause := recover(); cause != nil {
			if status = l.opts.PanicHandler(cause); status == fuse.OK {
				status = fuse.EIO
			}
		}
	}()
	in, out := unsafe.Pointer(h), unsafe.Pointer(&l.reply[replyHeader])
	switch h.Opcode {
	case opLookup:
		name, _, _ := bytes.Cut(r[handoff.RequestHeader:], []byte{0})
		out := cleared[fuse.EntryOut](out)
		return int(unsafe.Sizeof(*out)), l.fs.Lookup(l.cancel, h, string(name), out)
	case opGetattr:
		out := cleared[fuse.AttrOut](out)
		return int(unsafe.Sizeof(*out)), l.fs.GetAttr(l.cancel, (*fuse.GetAttrIn)(in), out)
	case opOpen:
		out := cleared[fuse.OpenOut](out)
		return int(unsafe.Sizeof(*out)), l.fs.Open(l.cancel, (*fuse.OpenIn)(in), out)
	case opOpendir:
		out := cleared[fuse.OpenOut](out)
		return int(unsafe.Sizeof(*out)), l.fs.OpenDir(l.cancel, (*fuse.OpenIn)(in), out)
	case opRead:
		l.at, l.args = r, *(*fuse.ReadIn)(in)
		l.args.Unique = r.Unique()
		buf := l.reply[replyHeader:][:l.args.Size]
		if l.into != nil {
			data, owner, status := l.into.ReadInto(l.cancel, l.decide, &l.args, buf)
			l.lent = lent{data, owner}
			return len(data), status
		}
		result, status := l.fs.Read(l.cancel, &l.args, buf)
		return fill(buf, result, status)
	case opRelease:
		l.fs.Release(l.cancel, (*fuse.ReleaseIn)(in))
	case opReleasedir:
		l.fs.ReleaseDir((*fuse.ReleaseIn)(in))
	}
	return 0, fuse.OK
}

// cleared returns a reply's body, zeroed.
func cleared[T any](at unsafe.Pointer) *T {
	var empty T
	out := (*T)(at)
	*out = empty
	return out
}

// fill puts the result of a READ into the reply.
func fill(buf []byte, result fuse.ReadResult, status fuse.Status) (n int, _ fuse.Status) {
	if result == nil {
		return 0, status
	}
	defer result.Done()
	if status > fuse.OK {
		return 0, status
	}
	if sliced, ok := result.(interface {
		Slices() ([][]byte, fuse.Status)
	}); ok {
		parts, status := sliced.Slices()
		for _, part := range parts {
			n += copy(buf[n:], part)
		}
		return n, status
	}
	data, status := result.Bytes(buf)
	return copy(buf, data), status
}
