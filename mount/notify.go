package mount

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Codes of messages from the server to the kernel, enum fuse_notify_code in linux/fuse.h.
const (
	notifyInvalInode = 2
	notifyStore      = 4
)

// storeMax bounds one NOTIFY_STORE, whose size field has 32 bits. A multiple of the page size: the kernel takes a page
// as up to date when it is stored whole, or up to the file's end.
const storeMax = 1 << 30

// Store puts data into the page cache of a node at byte off, and makes the file at least that long for the kernel
// (fuse_notify_store in fs/fuse/dev.c). Pages become readable without a READ only if they are filled whole or up to
// the end of the file, so off is best a multiple of the page size.
//
// ENOENT: the kernel does not know the node, or has forgotten it. Store waits for pages that are locked by a reader: it
// must not be called while answering a READ of the same node. Answering its OPEN is safe.
func (c *Conn) Store(node uint64, off int64, data []byte) error {
	for first := true; first || len(data) > 0; first = false {
		part := data[:min(len(data), storeMax)]
		var msg [24]byte // struct fuse_notify_store_out
		ne := binary.NativeEndian
		ne.PutUint64(msg[0:], node)
		ne.PutUint64(msg[8:], uint64(off))
		ne.PutUint32(msg[16:], uint32(len(part)))
		if err := c.notify(notifyStore, msg[:], part); err != nil {
			return fmt.Errorf("store %d bytes at %d of node %d: %w", len(part), off, node, err)
		}
		data = data[len(part):]
		off += int64(len(part))
	}
	return nil
}

// Invalidate drops cached attributes of a node and its cached bytes from off on: length bytes, or all when length is 0
// or less. A negative off drops attributes only (fuse_reverse_inval_inode in fs/fuse/inode.c). The same
// rules as for Store hold.
func (c *Conn) Invalidate(node uint64, off, length int64) error {
	var msg [24]byte // struct fuse_notify_inval_inode_out
	ne := binary.NativeEndian
	ne.PutUint64(msg[0:], node)
	ne.PutUint64(msg[8:], uint64(off))
	ne.PutUint64(msg[16:], uint64(length))
	if err := c.notify(notifyInvalInode, msg[:], nil); err != nil {
		return fmt.Errorf("invalidate node %d: %w", node, err)
	}
	return nil
}

// notify writes one message that is no reply: its unique is 0 and its code stands where a reply has the error.
func (c *Conn) notify(code int32, msg, data []byte) error {
	var head [replyHeader]byte
	putReply(head[:], replyHeader+len(msg)+len(data), code, 0)
	iov := [][]byte{head[:], msg}
	if len(data) > 0 {
		iov = append(iov, data)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fd < 0 {
		return unix.ENOTCONN
	}
	for {
		_, err := unix.Writev(c.fd, iov)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
