// Package mount keeps a filesystem of type fuse.bpfviewfs mounted: it reads the -o language of mount(8), calls
// mount(2), answers the kernel's requests, and unmounts. What the tree shows is another's business: Serve takes any
// fuse.RawFileSystem of go-fuse.
//
// # Use
//
// A keeper mounts and stays. The process that serves is another one, which the keeper starts, and starts again:
//
//	o, err := mount.ParseArgs(os.Args[1:]) // or ParseOptions
//	ready, err := mount.Background(o)
//	if ready == nil {
//		return err // the parent of the process in the background
//	}
//	keeper := mount.Keeper{Options: o, Args: server}
//	return keeper.Run(ready)
//
// That process begins where its command line, server, leads it:
//
//	c, err := mount.Inherit()
//	return c.Serve(fs, nil)
//
// ExitCode turns any of these errors into what mount(8) wants its helper to exit with.
//
// # What mount(2) gets
//
// The source exactly as given, so that mount(8) finds an fstab line again; type fuse.bpfviewfs; flags ro, nosuid,
// nodev and noexec whatever the options say; and as data a /dev/fuse descriptor, allow_other and default_permissions:
// every user gets in, and the kernel compares each caller with the owners and modes that the filesystem states. No
// fusermount, no /etc/mtab. Options of our own are not visible in /proc/mounts.
//
// The mount is known again by its device number. Where a path could meanwhile lead to another mount, or to a dead one on
// which stat(2) fails or hangs, an O_PATH descriptor is used (see place).
//
// # The loop
//
// A round trip is two wake-ups, and they are cheapest while one and the same thread reads. So one loop leads (lead.go): it
// blocks in read(2), answers on the same thread, and reads the next request. Nobody else reads, so two threads never wait for
// each other's requests.
//
//   - The leader may be in a request that takes long. While requests come, a watcher looks at a counter of the leader's every 0.5 ms
//     (tick). If it finds the leader in the same request twice, it leads from then on, and the other loop ends after its
//     request. So INTERRUPTs and quick reads get through. The watcher ends a few milliseconds after the last request,
//     and an idle server has one sleeping thread and no timer.
//   - Requests that find others waiting are a crowd. The leader then sets O_NONBLOCK, reads whatever the kernel has into
//     slots of the shared memory, and serves the user who had the least time (queue.go). A helper on each other CPU takes from
//     the same queue. When the queue is empty, the leader blocks in read(2) again.
//   - Requests that are known to take long (prices.go) go to goroutines of their own, so they keep nobody waiting. A user
//     has at most as many of them at once as there are CPUs but one, and so have all users but root together, except
//     for requests that have taken a second. A BPF program is not preempted on every kernel, and one CPU has to stay free.
//   - All messages are read at once, so INTERRUPT comes through in a crowd, too. When 3,520 requests wait (maxQueued), the
//     newest of the user with most of them is answered EBUSY. Were the rest left to the kernel, INTERRUPTs would
//     wait behind it.
//   - Up to 512 requests are in work (maxLoops); further ones wait in their slots.
//
// RELEASE, which the kernel sends as root's, is charged to the owner of the file (Owner). LOOKUP, GETATTR, OPEN, READ and
// RELEASE call the filesystem directly (direct.go), all others through go-fuse's ProtocolServer.
//
// Slots are 8 KiB, the least the kernel accepts, and mostly one page of each is ever touched. Replies may have 1 MiB, so a
// large file is read in few requests. BenchmarkLoop compares with go-fuse's own loop and libfuse's.
//
// # Interrupts
//
// A request that waits for its turn a moment after its reader got a signal (interruptGrace) is answered EINTR. If it is in
// work its cancel channel is closed then; the filesystem should answer EINTR. Until there is an answer the reader waits in D state, also one killed by SIGKILL, as the request was
// handed over. So a request that is still in work another moment later is answered EINTR in the filesystem's place. Go
// programs send themselves signals, so their reads are interrupted for no reason of the user's: hence the moment. At
// the end of the connection all requests in work are cancelled.
//
// A reply that the kernel refuses because its request is gone does no harm, but an OPEN answered so gets no RELEASE from
// the kernel; it gets one from the loop. A panic in the filesystem becomes EIO for the one request and goes to Logf.
//
// # The page cache
//
// Files opened with FOPEN_DIRECT_IO are read by read(2) through the server, and by splice(2), sendfile(2) and mmap(2)
// through the page cache up to i_size, which Store sets. What the kernel does, seen on 6.18 and held by tests:
//
//   - A READ for read(2) has READ_LOCKOWNER in its flags, one for the page cache does not. Both have the handle and the
//     caller's thread id.
//   - mmap of such a file first drops its stored pages. They come back by READ.
//   - It is enough to store the last page: the pages before it come by READ.
//   - A READ for the page cache that is answered short lowers i_size to where it ended.
//
// # Deadlocks
//
//  1. The process must never touch its own mount: a thread that waits for an answer keeps the process from dying, and
//     so the descriptor open, and so itself waiting. Ready asks the filesystem directly for that reason. What stats a
//     path, changes directory or starts a program must not do it below the target.
//  2. Tests that read their own mount must open files by unix.Open, not os.Open, which registers them with the runtime's
//     poller in a call that keeps the processor, and must not fault in pages of a mapped file in Go code.
//  3. Store and Invalidate wait for pages that a reader has locked: never call them while answering a READ of that node.
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
	// Warnings are told to whoever mounts, a line each. Set them before Serve.
	Warnings []string
	// OnEnd, if not nil, is called when the mount has ended, before Serve returns and the keeper is told. It is not called
	// in a server that another one takes over from.
	OnEnd func()

	status Status
	at     Info          // our mount
	state  *state        // what outlives this process
	keeper *wire         // to the keeper; nil in the keeper itself
	memory *os.File      // see Memory
	server *server       // set by Serve
	ready  chan struct{} // closed when INIT is answered
	served chan struct{} // closed when Serve returns

	mu sync.RWMutex // held for reading by writers other than the loops, which end before fd is closed
	fd int          // -1 when closed
}

// begin is all that comes before mount(2): it gives the target's absolute path and a /dev/fuse descriptor. A dead mount of ours at
// the target is detached; a live one is an error.
func begin(target string) (path string, fd int, err error) {
	if uid := os.Geteuid(); uid != 0 {
		return "", -1, WithCode(ExitUsage, fmt.Errorf("mount %s: must be root, this is uid %d", target, uid))
	}
	if path, err = prepare(target); err != nil {
		return "", -1, err
	}
	fd, err = openDevice()
	return path, fd, err
}

// attach calls mount(2).
func (c *Conn) attach(o Options, target string) error {
	lock, err := lockTarget(target)
	if err != nil {
		return err
	}
	defer lock.Close()
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d",
		c.fd, unix.S_IFDIR, maxRead)
	if err := unix.Mount(o.Source, target, Type, o.Flags|always, data); err != nil {
		return mountError(target, err)
	}
	c.at, err = settle(target)
	return err
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
