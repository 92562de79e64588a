// Package server answers the kernel's requests for a mount, with any fuse.RawFileSystem of go-fuse. Its process
// is started by a keeper and inherits the connection and the memory of requests.
//
// # The loop
//
// A round trip is two wake-ups, and they are cheapest while the same thread reads. So one loop leads
// (lead.go): it blocks in read(2), answers on the same thread, and reads the next request. No other loop
// reads, so two threads never wait for each other's requests.
//
//   - The leader may be in a request that takes long. While requests come, a watcher looks at a counter of
//     the leader every 0.5 ms (tick). If it finds the leader in the same request twice, it leads from then
//     on, and the other loop ends after its request. So INTERRUPTs and quick reads get through. The watcher
//     ends a few milliseconds after the last request, and an idle server has one sleeping thread and no
//     timer.
//   - Requests that find others waiting are a crowd. The leader then sets O_NONBLOCK, reads all requests that
//     the kernel has into slots of the shared memory, and serves the user with the least time (queue.go).
//     Helpers take from the same queue, so that the server has half of the CPUs, and the readers the other
//     half. When the queue is empty, or has held no more than one reader's requests a few times, the leader
//     blocks in read(2) again.
//   - Requests that are known to take long (prices.go) go to goroutines of their own, so that no reader waits
//     behind them. A user has at most one fewer of them at once than there are CPUs. The same limit holds for
//     all users but root together, except for requests that have taken a second. A BPF program is not
//     preempted on every kernel, and one CPU has to stay free.
//   - In a crowd the leader looks for messages every 50 µs or sooner (readEvery), and reads all of them, so that
//     INTERRUPT comes through. When 3,520 requests wait (maxQueued), the newest of the user with most of them
//     is answered EBUSY. If the rest were left to the kernel, INTERRUPTs would wait behind it.
//   - Up to 512 requests are in work (maxLoops); further ones wait in their slots.
//
// The kernel sends RELEASE as root's; it is charged to the owner of the file (Owner). LOOKUP, GETATTR, OPEN,
// READ and RELEASE call the filesystem directly (direct.go), all others through go-fuse's ProtocolServer.
//
// Slots are 8 KiB, the least the kernel accepts, and mostly one page of each is ever touched. Replies may
// have 1 MiB, so that a large file takes few requests. BenchmarkLoop compares with the loops of go-fuse and
// libfuse.
//
// # Why no request is lost
//
// A request is with the kernel, in the hands of the loop that has read it, in the queue, or in work. It may be
// lost where it goes from one place to the next:
//
//   - From the kernel to a loop. A loop that has read a request answers or queues it, also if it leads no more.
//   - From a loop to the queue. The leader looks at the queue again before it blocks in read(2). A loop that
//     leads no more answers what is queued before it ends, and requeue starts a helper. Slow requests get a
//     goroutine at once, or when one of those that they wait for has ended or has taken a second.
//   - Out of the queue. A loop that finds nothing there, or too many loops, may miss a request that is queued
//     just then. It ends with stop, which looks once more under the same lock.
//   - A leader that blocks in read(2) with requests in the queue, because another server has cleared
//     O_NONBLOCK. It counts as one in a request, so the watcher leads in its place. The watcher ends only
//     while the leader waits for its next request. It says so first and then looks at the leader's counter
//     once more. The leader first changes the counter and then looks for a watcher, so one sees the other.
//   - From one server to the next. A slot is emptied after the reply is written, so the next server finds the
//     request there. It asks the kernel first whether the caller still waits.
//
// # Interrupts
//
// A request may still wait for its turn a moment (interruptGrace) after its reader got a signal. It is then
// answered EINTR. If it is in work, its cancel channel is closed; the filesystem should answer EINTR. Until
// then the reader waits in D state, even after SIGKILL, because the request was handed over. So a request
// that is in work yet another moment later is answered EINTR by the loop. The moment is there because Go
// programs send themselves signals, which their users did not ask for. At the end of the connection all
// requests in work are cancelled.
//
// The kernel refuses a reply if its request is gone. That does no harm, but after a refused OPEN the kernel
// sends no RELEASE; the loop sends one. The late run of a READ must not replace a run that its reader reads on,
// at this server or the next. So loop and filesystem decide in the slot, which servers share, who answers a READ.
//
// A panic in the filesystem becomes EIO for the one request. The first at each place goes to Logf with its stack.
//
// # The page cache
//
// Files opened with FOPEN_DIRECT_IO are read by read(2) through the server, and by splice(2), sendfile(2) and
// mmap(2) through the page cache up to i_size, which Store sets. The kernel's behaviour, seen on 6.18 and
// kept by tests:
//
//   - A READ for read(2) has READ_LOCKOWNER in its flags, one for the page cache does not. Both have the
//     handle and the caller's thread id.
//   - mmap of such a file first drops its stored pages. They come back by READ.
//   - It is enough to store the last page: the pages before it come by READ.
//   - A READ for the page cache that is answered short lowers i_size to where it ended.
//   - splice(2) and sendfile(2) give the errno of such a READ at their first byte; kernels that read pages
//     through iomap (7.3) give EIO for any errno.
//
// # Deadlocks
//
//  1. The process must never touch its own mount. A thread that waits for an answer keeps the process from
//     dying. The descriptor then stays open, and the thread waits for ever. Ready asks the filesystem
//     directly for that reason. Code that stats a path, changes directory or starts a program must not do it
//     below the target.
//  2. Tests that read their own mount must open files by unix.Open. os.Open registers them with the runtime's
//     poller in a call that keeps the processor. Go code must not fault in pages of a mapped file either.
//  3. Store and Invalidate wait for pages that a reader has locked. Never call them while answering a READ of
//     that node.
package server

import (
	"os"
	"sync/atomic"

	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
)

// Conn is a server's connection to the kernel and to its keeper.
type Conn struct {
	// Logf takes events that are no error of a call, for example a panic of the filesystem. It may be
	// nil. Set it before Serve.
	Logf func(format string, args ...any)
	// Warnings are shown to the caller of mount(8), a line each. Set them before Serve.
	Warnings []string
	// OnEnd, if not nil, is called when the mount has ended, before Serve returns and the keeper is told.
	// It is not called in a server that another one replaces.
	OnEnd func()
	// Standby has the keeper prepare another server beside this one. That one begins when this one dies.
	// It is not worth while if nothing of what servers prepare outlives them. Set it before Serve, or
	// call Changed.
	Standby bool
	// OnWait, if not nil, is called in a server that was prepared a second ago and has not begun. It should
	// give up what only the preparation needed.
	OnWait func()

	waits    atomic.Bool // see Waits
	status   wire.Status
	at       *place.Mount    // our mount
	requests *handoff.Memory // outlives this process
	keeper   *wire.End       // to the keeper
	memory   *os.File        // see Memory
	kept     *os.File        // see Kept; may be nil
	server   *server         // set by Serve
	ready    chan struct{}   // closed when INIT is answered
	served   chan struct{}   // closed when Serve returns
}

func newConn(device int) *Conn {
	at := place.Inherited(device, place.Info{})
	return &Conn{at: at, ready: make(chan struct{}), served: make(chan struct{})}
}

func (c *Conn) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}
