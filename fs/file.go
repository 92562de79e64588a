package fs

import (
	"context"
	"errors"
	"sync"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/openfiles"
	"bpfviewfs/fs/told"
	words "bpfviewfs/internal/errno"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open view, or an open file of .bpfview. It holds one frozen run. Any offset and read size give
// the same bytes until the next read(2) at offset 0, which starts a new run.
type file struct {
	fs      *FS
	node    node
	handle  uint64
	entry   *openfiles.Entry // perhaps of another handle by now: a READ answered with EINTR can outlive the close
	account *limits.Account
	shown   *told.File

	mu      sync.Mutex
	run     *buffers.Run      // nil: its bytes are in the memory, or lost
	word    openfiles.RunWord // of the run
	charged int64
	ended   bool
	rerun   chan struct{} // not nil while a new run is made
}

// Open runs the view.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&unix.O_ACCMODE != unix.O_RDONLY {
		return fuse.EROFS
	}
	f.undoOpen(&in.InHeader)
	n, err := f.node(in.NodeId)
	if err != nil {
		return errno(err)
	}
	r, run, err := f.start(cancel, n, in.Uid, f.reader(&in.InHeader), nil)
	switch {
	case errors.Is(err, unix.ENODEV): // the view was removed just now
		return fuse.ENOENT
	case isGone(err):
		return f.stale.Answer(&in.InHeader)
	case err != nil:
		return errno(err)
	}
	defer run.End()
	return errno(f.open(n, r, run, in, out))
}

// open makes an open file that holds the result of a run.
func (f *FS) open(n node, r *buffers.Run, run *running, in *fuse.OpenIn, out *fuse.OpenOut) error {
	size, time := len(r.Data), r.Time // share may give r to another run
	charge := r.Cost()
	account, err := run.Hold(charge)
	if err != nil {
		r.Done()
		return err
	}
	entry := f.memory.Allocate(requester(&in.InHeader), r.Mapping())
	if entry == nil {
		r.Done()
		account.Release(1, charge)
		return unix.ENFILE
	}
	out.Fh = f.memory.Handle(entry)
	o := &file{fs: f, node: n, handle: out.Fh, entry: entry, account: account, charged: charge, run: r}
	o.word, _ = f.memory.Hold(entry, 0, size, time, r.Mapping())
	o.shown = f.newest.Opened(in.NodeId)
	o.mu.Lock()    // see forget
	f.files.add(o) // before the handle can be found in the memory, and taken up
	f.memory.Complete(entry, out.Fh, in.NodeId, in.Uid)
	o.mu.Unlock()
	o.share()
	f.ran(o.shown, uint64(size), time)
	// Direct I/O brings every read(2) here.
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return nil
}

// ran tells the kernel about a new run of a file, if the kernel must know.
func (f *FS) ran(s *told.File, size uint64, time int64) {
	// An error does not matter to read(2). The only one is ENOENT, for an inode that the kernel has
	// dropped.
	switch f.newest.Ran(s, size, time, f.isShared()) {
	case told.Invalidate:
		_ = f.kernel.Invalidate(s.ID)
	case told.Grow:
		_ = f.kernel.Grow(s.ID, size)
	}
}

// Read answers from the run that the open file holds, or from a new one. A READ for the page cache has no
// lock owner and is EINVAL. splice(2) and sendfile(2) then return EINVAL, too (EIO on Linux 7.3), and their
// callers read instead.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	data, lent, status := f.ReadInto(cancel, nil, in, buf)
	if !status.Ok() {
		return nil, status
	}
	if lent != nil {
		data = buf[:copy(buf, data)]
		lent.Done()
	}
	return fuse.ReadResultData(data), fuse.OK
}

// ReadInto returns the bytes of a READ in buf, which is at least as long, and allocates nothing unless it starts
// a new run. If lent is not nil, the bytes are elsewhere, and stay there until it is done. A new run replaces the
// one that the file holds unless decide returns false. Then the reader has got EINTR, and may read the earlier
// run on. decide may be nil.
func (f *FS) ReadInto(cancel <-chan struct{}, decide func() bool, in *fuse.ReadIn, buf []byte) (data []byte,
	lent interface{ Done() }, _ fuse.Status) {
	if in.ReadFlags&fuse.READ_LOCKOWNER == 0 {
		return nil, nil, fuse.EINVAL
	}
	o := f.file(in.Fh)
	if o == nil {
		n, _ := f.node(in.NodeId)
		f.noteError(in.Uid, "read", n.cgroup, errNotOpen)
		return nil, nil, errno(errNotOpen)
	}
	fresh := in.Offset == 0 && !o.entry.Begins(requester(&in.InHeader))
	for {
		if fresh {
			if err := o.again(cancel, decide, &in.InHeader); err != nil {
				return nil, nil, errno(err)
			}
		}
		data, run, err := o.read(in.Offset, buf[:in.Size])
		if err == errLost && !fresh && (in.Offset == 0 || o.entry.Unread()) {
			fresh = true // no reader has seen any of the lost run
			continue
		}
		if err != nil && err != errClosed {
			o.failed(err)
		}
		if run != nil {
			lent = run
		}
		return data, lent, errno(err)
	}
}

// failed notes the error of a READ that no run has noted.
func (o *file) failed(err error) {
	name := "read"
	if c, err := o.fs.content(o.node); err == nil {
		name = c.name()
	}
	o.fs.noteError(o.entry.UID(), name, o.node.cgroup, err)
}

// read returns a part of the held run, and nothing beyond its end. The part is a copy in into, or lent by the run.
func (o *file) read(off uint64, into []byte) (data []byte, lent *buffers.Run, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if o.entry.Handle() != o.handle {
			return nil, nil, errClosed
		}
		if word := o.entry.Run(); word != o.word { // another server has made a run
			o.drop()
			o.word = word
		}
		switch {
		case !o.word.Held():
			return nil, nil, errLost
		case off >= o.word.Size():
			return nil, nil, nil
		case o.run != nil && o.run.Mapping() != nil && o.word.Kept():
			return o.run.Lend(off, len(into)), o.run, nil
		case o.run != nil:
			n := copy(into, o.run.Data[off:])
			if n < len(o.run.Data) {
				o.keep(false)
			}
			return into[:n], nil, nil
		case !o.word.Kept():
			return nil, nil, errLost
		}
		n, err := o.fs.memory.Load(o.entry, o.word, off, into)
		if err != openfiles.ErrReplaced {
			return into[:n], nil, err
		}
	}
}

// keep moves the run from the heap to the memory that outlives the server. The run stays on the heap if there
// is no room, or if the user may not hold whole pages for it and force is false. A run that was made there stays.
func (o *file) keep(force bool) {
	if o.word.Kept() {
		return
	}
	charge := buffers.KeptCost(len(o.run.Data))
	if o.account.Charge(charge-o.charged, force) != nil {
		return
	}
	if word, ok := o.fs.memory.Save(o.entry, o.word, o.run.Data); ok {
		o.word, o.charged = word, charge
		o.drop()
	} else {
		_ = o.account.Charge(o.charged-charge, true)
	}
}

// drop gives the run's buffer back.
func (o *file) drop() {
	o.run.Done()
	o.run = nil
}

// again replaces the run by a new one.
func (o *file) again(cancel <-chan struct{}, decide func() bool, h *fuse.InHeader) error {
	if err := o.enter(cancel); err != nil {
		return err
	}
	defer o.leave()
	r, run, err := o.fs.start(cancel, o.node, h.Uid, o.opener(h), o.entry)
	if isGone(err) || errors.Is(err, unix.ENODEV) {
		return unix.ENODEV // the reader's path is right, but its cgroup is gone
	} else if err != nil {
		return err
	}
	defer run.End()
	size, time := len(r.Data), r.Time
	if err := o.replace(r, run, decide, h); err != nil {
		r.Done()
		return err
	}
	o.fs.ran(o.shown, uint64(size), time)
	return nil
}

func (o *file) replace(r *buffers.Run, run *running, decide func() bool, h *fuse.InHeader) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if decide != nil && !decide() {
		return context.Canceled
	}
	if o.ended {
		return errClosed
	}
	charge := r.Cost()
	if err := run.Charge(o.account, charge-o.charged); err != nil {
		return err
	}
	o.charged = charge
	word, held := o.fs.memory.Hold(o.entry, o.handle, len(r.Data), r.Time, r.Mapping())
	if !held {
		return errClosed
	}
	o.drop()
	o.run, o.word = r, word
	o.entry.Begun(requester(h)) // after the run that this READ asked for
	if o.fs.isShared() {
		o.keep(true)
	}
	return nil
}

// share keeps the run of a new open file if another server may get requests for it.
func (o *file) share() {
	if !o.fs.isShared() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.run != nil {
		o.keep(true)
	}
}

// enter waits until no other request makes a new run of the file.
func (o *file) enter(cancel <-chan struct{}) error {
	for {
		o.mu.Lock()
		other := o.rerun
		if other == nil {
			o.rerun = idle
		} else if other == idle {
			other = make(chan struct{})
			o.rerun = other
		}
		o.mu.Unlock()
		if other == nil {
			return nil
		}
		select {
		case <-other:
		case <-cancel:
			return context.Canceled
		}
	}
}

// idle is a channel that no request waits for.
var idle = make(chan struct{})

func (o *file) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rerun != idle {
		close(o.rerun)
	}
	o.rerun = nil
}

// end releases the resources of the open file.
func (o *file) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	o.ended = true
	o.drop()
	o.account.Release(1, o.charged)
	// The lock is for again, which records the file's newest run.
	if o.fs.memory.Find(o.handle) == o.entry {
		o.fs.memory.Drop(o.entry)
	}
	o.fs.newest.Released(o.shown)
}

// Release ends an open file.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { f.release(in.Fh) }

func (f *FS) release(fh uint64) {
	if o := f.file(fh); o != nil {
		f.remove(o)
		f.files.trim()
	}
}

// remove ends an open file. Its entry is dropped first, so that no thread that looks for the handle in between
// takes the file up again.
func (f *FS) remove(o *file) {
	o.end()
	f.files.remove(o)
}

var (
	// errClosed reaches no reader, because the loop has answered EINTR and the file is closed.
	errClosed = unix.EBADF
	// errLost is for a reader in the middle of a run that died with its server.
	errLost = words.Errorf(unix.ESTALE, "the server that held the run has died: read it again from the start")
	// errNotOpen is for a READ that the kernel never sends.
	errNotOpen = words.Errorf(unix.ESTALE, "the file is not open: open it again, and please report it")
)
