package mount

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxRead is the largest READ that the kernel sends, in bytes: what fs.fuse.max_pages_limit allows unless raised.
const maxRead = 1 << 20

// Conn is one mount and its connection to the kernel.
type Conn struct {
	// Logf takes what is worth telling but no error of a call: a panic of the filesystem, a mount that had to be
	// detached. It may be nil. Set it before Serve.
	Logf func(format string, args ...any)

	at     Info          // our mount
	server *server       // set by Serve
	init   []byte        // the INIT message, which a later server would have to be told, too
	ready  chan struct{} // closed when INIT is answered
	served chan struct{} // closed when Serve returns

	mu sync.RWMutex // held for reading by writers other than the loops, which end before fd is closed
	fd int          // -1 when closed
}

// Mount mounts a bpfviewfs at o.Target: a /dev/fuse descriptor of our own and mount(2). Nothing answers before Serve
// runs. An error is one line, carries the exit code and leaves nothing mounted.
//
// A dead mount of ours at the target is detached first; a live one is an error.
func Mount(o Options) (*Conn, error) {
	if uid := os.Geteuid(); uid != 0 {
		return nil, WithCode(ExitUsage, fmt.Errorf("mount %s: must be root, this is uid %d", o.Target, uid))
	}
	target, err := prepare(o.Target)
	if err != nil {
		return nil, err
	}
	fd, err := openDevice()
	if err != nil {
		return nil, err
	}
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", fd, unix.S_IFDIR, maxRead)
	if err := unix.Mount(o.Source, target, Type, o.Flags|always, data); err != nil {
		unix.Close(fd)
		return nil, mountError(target, err)
	}
	c := newConn(fd)
	if c.at, err = settle(target); err != nil {
		c.close() // our mount is dead now, which tells it from any other
		return nil, errors.Join(err, clearDead(target))
	}
	return c, nil
}

func newConn(fd int) *Conn {
	return &Conn{fd: fd, ready: make(chan struct{}), served: make(chan struct{})}
}

func openDevice() (int, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("open /dev/fuse: %w: the kernel has no FUSE yet, try: modprobe fuse", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return -1, WithCode(ExitUsage, fmt.Errorf("open /dev/fuse: %w: a container needs this device allowed", err))
	}
	return -1, WithCode(ExitSystem, fmt.Errorf("open /dev/fuse: %w", err))
}

func mountError(target string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return WithCode(ExitUsage, fmt.Errorf("mount on %s: %w: CAP_SYS_ADMIN is missing", target, err))
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("mount on %s: %w: the kernel has no FUSE yet, try: modprobe fuse", target, err)
	}
	return fmt.Errorf("mount on %s: %w", target, err)
}

func (c *Conn) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}

// close gives the descriptor back. The kernel then ends the connection if no other process holds it.
func (c *Conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}
