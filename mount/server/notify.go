package server

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

// Grow makes the inode of a node at least size bytes long, and has the kernel forget its size and times. It
// stores one byte at the end (fuse_notify_store in fs/fuse/dev.c). The byte is not the first of its page, so
// the page does not become readable. Grow waits for READs of the page that are under way.
//
// ENOENT means that the kernel does not know the node, or has forgotten it.
func (c *Conn) Grow(node uint64, size uint64) error {
	at := max(size, 1) - 1
	if at%4096 == 0 { // the first byte of a page would make it readable
		at++
	}
	var msg [24 + 1]byte // struct fuse_notify_store_out, and the byte
	ne := binary.NativeEndian
	ne.PutUint64(msg[0:], node)
	ne.PutUint64(msg[8:], at)
	ne.PutUint32(msg[16:], 1)
	if err := c.notify(notifyStore, msg[:]); err != nil {
		return fmt.Errorf("grow node %d to %d bytes: %w", node, size, err)
	}
	return nil
}

// Invalidate has the kernel forget the attributes of a node (fuse_reverse_inval_inode in fs/fuse/inode.c). It
// waits for nothing. ENOENT is as for Grow.
func (c *Conn) Invalidate(node uint64) error {
	var msg [24]byte // struct fuse_notify_inval_inode_out
	ne := binary.NativeEndian
	ne.PutUint64(msg[0:], node)
	ne.PutUint64(msg[8:], ^uint64(0)) // offset -1: attributes alone
	if err := c.notify(notifyInvalInode, msg[:]); err != nil {
		return fmt.Errorf("invalidate node %d: %w", node, err)
	}
	return nil
}

// notify writes one message that is no reply. Its unique is 0, and its code stands in the place of a reply's
// error.
func (c *Conn) notify(code int32, body []byte) error {
	var message [replyHeader + 32]byte
	n := replyHeader + copy(message[replyHeader:], body)
	putReply(message[:], n, code, 0)
	for {
		err := c.at.Write(message[:n])
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
