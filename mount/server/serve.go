package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"bpfviewfs/internal/panics"
	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// stuck is how long Serve waits, after the connection has ended, for requests that do not heed their cancel
// channel.
const stuck = 5 * time.Second

// Serve answers the kernel's requests with fs until the connection ends. That happens by an abort, or when
// the filesystem is unmounted everywhere: also its bind mounts, its copies in other mount namespaces and,
// after a detach, its open files. opts may be nil; Serve overrides the options that the mount needs. It may
// be called once.
//
// It returns nil after an unmount, and after another server has taken over. After an abort it returns an
// error, and the keeper takes the dead mount away. At the end, requests in work have their cancel channel
// closed, and Serve waits a few seconds for them.
//
// Serve reports to the keeper that all is prepared, and begins when it gets the order.
func (c *Conn) Serve(fs fuse.RawFileSystem, opts *fuse.MountOptions) error {
	defer close(c.served)
	order, err := c.await()
	if err == errNoKeeper && c.Waits() { // the server that serves says so
		return nil
	}
	if err != nil {
		return err
	}
	s := newServer(c, fs, opts)
	c.server = s
	defer fs.OnUnmount()
	err = s.serve(order)
	if err == errLeft {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("serve %s: %w", c.at, err)
	}
	if c.OnEnd != nil {
		c.OnEnd()
	}
	c.keeper.Send(wire.Report(wire.Ended, err))
	return err
}

// serve runs the loops to the end.
func (s *server) serve(o wire.Order) error {
	c := s.conn
	if err := s.handshake(s.requests.First(o.Region)); err != nil {
		c.at.Close()
		return err
	}
	if s.heir != nil {
		s.heir.Begin(o.Disabled)
	}
	if o.Take {
		if s.heir != nil {
			s.heir.Alone()
		}
		s.begin(o.Region, o.Trial)
	} else {
		s.beginBeside(o.Region)
	}
	close(c.ready)
	go s.obey()
	if err := s.run(); err != nil {
		return err
	}
	if left := s.drain(stuck); left > 0 {
		// The descriptor stays open. Such a request may still write to it, and its number must not
		// become another file's.
		return fmt.Errorf("unmounted, but %d requests do not end", left)
	}
	c.at.Close()
	if c.at.Mounted() {
		return errors.New("the connection was aborted (umount -f, or through fusectl)")
	}
	return nil
}

// options sets the options that this mount needs, and overrides the caller's.
func (c *Conn) options(given *fuse.MountOptions) *fuse.MountOptions {
	var o fuse.MountOptions
	if given != nil {
		o = *given
	}
	o.MaxWrite = place.MaxRead // go-fuse derives the pages of a READ from it; see handshake
	if o.MaxBackground == 0 {
		// RELEASE counts here. In a crowd as many closes wait as there are readers. If fewer may, closes fall
		// behind opens, until no more files may be open. More would fill the queue.
		o.MaxBackground = 2048
	}
	o.DisableXAttrs = true
	o.ExplicitDataCacheControl = true // the page cache has nothing to drop when a file's mtime changes
	// Without ASYNC_DIO a read of io_uring that is answered short is sent again, from the same offset.
	// DIRECT_IO_ALLOW_MMAP is not set: shared mappings are ENODEV, as on cgroupfs, because the files have
	// no pages.
	o.ExtraCapabilities |= fuse.CAP_ASYNC_DIO
	if o.Logger == nil {
		o.Logger = log.New(logWriter(c.logf), "", 0)
	}
	if o.PanicHandler == nil {
		var known panics.Log
		o.PanicHandler = func(cause any) fuse.Status {
			known.Recovered(c.logf, "answer a request", cause)
			return fuse.EIO
		}
	}
	return &o
}

type logWriter func(format string, args ...any)

func (w logWriter) Write(line []byte) (int, error) {
	// ENOSYS is the right answer to an unknown opcode: the kernel does without it from then on.
	if text := strings.TrimSuffix(string(line), "\n"); !strings.HasPrefix(text, "Unimplemented opcode") {
		w("go-fuse: %s", text)
	}
	return len(line), nil
}

// handshake answers INIT, which the kernel sends first and alone. A later server reads the agreed values from
// it, and answers it only if the server before died of it.
func (s *server) handshake(first handoff.Slot) error {
	in, again := s.requests.Init(), true
	if left := first.Left(); in == nil || left != nil && left.Opcode() == opInit {
		again = false
		if left == nil {
			n, err := s.read(first)
			if err != nil {
				return fmt.Errorf("read INIT: %w", err)
			}
			left = handoff.Request(first[:n])
		}
		if len(left) < handoff.RequestHeader || left.Opcode() != opInit {
			return errors.New(
				"the first message is not INIT: is another process serving this mount?")
		}
		s.requests.SetInit(left)
		in = left
	}
	out := make([]byte, handoff.SlotSize)
	n, status := s.proto.HandleRequest([][]byte{slices.Clone(in)}, [][]byte{out})
	if status != fuse.OK || n < replyHeader || replyError(out) != 0 {
		return errors.New("INIT: this kernel's FUSE protocol is not understood")
	}
	if again {
		return nil
	}
	// struct fuse_init_out.max_write: a slot must have room for a WRITE of that size, though none ever
	// comes.
	binary.NativeEndian.PutUint32(out[replyHeader+20:], 4096)
	if _, err := unix.Write(s.fd, out[:n]); err != nil && err != unix.ENOENT {
		return fmt.Errorf("answer INIT: %w", err)
	}
	first.Done()
	return nil
}
