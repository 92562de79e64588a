package server

import (
	"sync"

	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// keepReply is the largest reply buffer that a loop keeps between requests, in bytes. It fits the reads of
// cat(1).
const keepReply = 128<<10 + 8192

// largeReply is room for the reply to any READ. All loops share these buffers.
const largeReply = place.MaxRead + 8192

// mostReply is room for any reply: the kernel counts its pages in 16 bits (max_pages in linux/fuse.h).
const mostReply = 0xffff*4096 + 8192

var largeReplies = sync.Pool{New: func() any { return new([largeReply]byte) }}

// handle answers the request in a slot and empties the slot.
func (l *loop) handle(s handoff.Slot) {
	r := s.Left()
	opcode, node, unique := r.Opcode(), r.Node(), r.Unique()
	l.take(unique)
	n := 0
	if size := replySize(r); size <= mostReply {
		l.makeRoom(size)
		n = l.answerOf(r)
	} else { // the memory was overwritten
		l.makeRoom(replyHeader)
		n = l.failure(unique, unix.EIO)
	}
	if n > 0 {
		l.answer(opcode, node, r.UID(), n)
	}
	s.Done()
	l.release(unique)
	if len(l.reply) == largeReply {
		largeReplies.Put((*[largeReply]byte)(l.reply))
		l.reply = nil
	}
}

// take notes that a request is in work, unless it was noted when it left the queue, and perhaps interrupted
// since.
func (l *loop) take(unique uint64) {
	if l.unique.Load()&^interruptedBit != unique {
		l.unique.Store(unique)
	}
}

// release notes that a request is no longer in work.
func (l *loop) release(unique uint64) {
	if !l.unique.CompareAndSwap(unique, 0) { // interrupted
		<-l.cancel
		l.cancel = make(chan struct{})
		l.unique.Store(0)
	}
}

// answerOf makes the reply, and returns its size.
func (l *loop) answerOf(r handoff.Request) int {
	if n, ok := l.direct(r); ok {
		return n
	}
	return l.indirect(r)
}

// makeRoom makes sure that a reply of size bytes fits.
func (l *loop) makeRoom(size int) {
	switch {
	case size <= len(l.reply):
	case size <= keepReply:
		l.reply = make([]byte, size)
	case size <= largeReply:
		l.reply = largeReplies.Get().(*[largeReply]byte)[:]
	default: // of an unknown opcode
		l.reply = make([]byte, size)
	}
}

// indirect has go-fuse parse the request and call the filesystem.
func (l *loop) indirect(r handoff.Request) (n int) {
	n, status := l.proto.HandleRequest([][]byte{r}, [][]byte{l.reply})
	if status != fuse.OK { // go-fuse could not parse the request and made no reply
		n = l.failure(r.Unique(), unix.EIO)
	}
	return n
}

// Lost is a filesystem that is told of replies which the kernel does not take. The callers get EIO.
type Lost interface {
	Lost(uid uint32, node uint64, err error)
}

// answer writes the reply.
func (l *loop) answer(opcode uint32, node uint64, uid uint32, n int) {
	err := l.write(n)
	if err == nil {
		return
	}
	if err != unix.ENOENT {
		// The kernel refuses some replies, for example an errno above 511. Their callers must not
		// wait for ever.
		if l.server.lost != nil {
			l.server.lost.Lost(uid, node, err)
		}
		l.fail(replyUnique(l.reply), unix.EIO)
	}
	l.refused(opcode, node, l.reply[:n])
}

// lent is memory of the filesystem with the bytes of a READ. Without an owner they are in the reply.
type lent struct {
	bytes []byte
	owner interface{ Done() }
}

// write writes the reply. The kernel copies lent bytes from where they are.
func (l *loop) write(n int) (err error) {
	if l.lent.owner == nil {
		_, err = unix.Write(l.fd, l.reply[:n])
		return err
	}
	_, err = unix.Writev(l.fd, [][]byte{l.reply[:n-len(l.lent.bytes)], l.lent.bytes})
	l.lent.owner.Done()
	l.lent = lent{}
	return err
}

func (l *loop) failure(unique uint64, errno unix.Errno) int {
	putReply(l.reply, replyHeader, -int32(errno), unique)
	return replyHeader
}
