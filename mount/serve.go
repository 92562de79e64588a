package mount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// maxLoops bounds the requests in work. Each has a slot, a goroutine and, while a view runs, a thread; most of them, when
// they are many, wait for their user's turn and have no thread. It is far from Go's limit of 10,000 threads. Further
// requests wait in the kernel, in order. So does an INTERRUPT then.
const maxLoops = 512

// stuck is how long Serve waits, after the connection has ended, for requests that do not heed their cancel channel.
const stuck = 5 * time.Second

// Serve answers the kernel's requests with fs until the filesystem is unmounted everywhere (also its bind mounts, and
// when it was detached, its open files), or the connection is aborted. opts may be nil; what the mount needs is set
// over it. Serve may be called once.
//
// It returns nil after an unmount. After an abort it takes the dead mount away and returns an error. Requests in work
// at the end have their cancel channel closed and are waited for, for a few seconds.
func (c *Conn) Serve(fs fuse.RawFileSystem, opts *fuse.MountOptions) error {
	s := newServer(c, fs, opts)
	c.server = s
	defer close(c.served)
	defer fs.OnUnmount()
	if err := s.handshake(); err != nil {
		c.undo()
		return fmt.Errorf("serve %s: %w", c.at.Target, err)
	}
	close(c.ready)
	if err := s.run(newSlots(make([]byte, maxLoops*slotSize))); err != nil {
		c.undo()
		return fmt.Errorf("serve %s: %w", c.at.Target, err)
	}
	if left := s.drain(stuck); left > 0 {
		// The descriptor stays open: they may yet write to it, and its number must not become another file's.
		return fmt.Errorf("serve %s: unmounted, but %d requests do not end", c.at.Target, left)
	}
	c.close()
	if !c.mounted() {
		return nil
	}
	c.undo()
	return fmt.Errorf("serve %s: the connection was aborted (umount -f, or through fusectl)", c.at.Target)
}

// undo leaves no mount that nobody serves.
func (c *Conn) undo() {
	if err := c.Unmount(); err != nil {
		c.logf("%v", err)
	}
}

// options sets over what the caller gave what this mount needs.
func (c *Conn) options(given *fuse.MountOptions) *fuse.MountOptions {
	var o fuse.MountOptions
	if given != nil {
		o = *given
	}
	o.MaxWrite = maxRead // go-fuse derives from it the pages of a READ; see handshake
	if o.MaxBackground == 0 {
		o.MaxBackground = 64 // RELEASE and read-ahead count here; the kernel's 12 would let many closes queue up
	}
	o.DisableXAttrs = true
	o.ExplicitDataCacheControl = true // or the kernel drops stored pages when a file's mtime changes
	o.ExtraCapabilities |= fuse.CAP_DIRECT_IO_ALLOW_MMAP
	if o.Logger == nil {
		o.Logger = log.New(logWriter(c.logf), "", 0)
	}
	if o.PanicHandler == nil {
		o.PanicHandler = func(cause any) fuse.Status {
			c.logf("panic while answering a request: %v\n%s", cause, debug.Stack())
			return fuse.EIO
		}
	}
	return &o
}

type logWriter func(format string, args ...any)

func (w logWriter) Write(line []byte) (int, error) {
	// ENOSYS is the right answer to an opcode that is not known: the kernel does without it from then on.
	if text := strings.TrimSuffix(string(line), "\n"); !strings.HasPrefix(text, "Unimplemented opcode") {
		w("go-fuse: %s", text)
	}
	return len(line), nil
}

// handshake answers INIT, which the kernel sends first and alone.
func (s *server) handshake() error {
	in := make([]byte, slotSize)
	n, err := s.read(in)
	if err != nil {
		return fmt.Errorf("read INIT: %w", err)
	}
	if n < requestHeader || request(in).opcode() != opInit {
		return errors.New("the first message is not INIT: is another process serving this mount?")
	}
	s.conn.init = in[:n]
	out := make([]byte, slotSize)
	n, status := s.proto.HandleRequest([][]byte{s.conn.init}, [][]byte{out})
	if status != fuse.OK || n < replyHeader || replyError(out) != 0 {
		return errors.New("INIT: this kernel's FUSE protocol is not understood")
	}
	// struct fuse_init_out.max_write: a slot must have room for a WRITE of that size, though none ever comes.
	binary.NativeEndian.PutUint32(out[replyHeader+20:], 4096)
	if _, err := unix.Write(s.conn.fd, out[:n]); err != nil {
		return fmt.Errorf("answer INIT: %w", err)
	}
	return nil
}
