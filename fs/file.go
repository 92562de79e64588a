package fs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open view, or an open file of .bpfview. It holds one run, frozen: any offset and any read size give the
// same bytes until the next read(2) at offset 0, which starts a new run.
type file struct {
	node   uint64
	handle uint64
	record *record       // the handle's, unless the file was closed: a READ that was answered in our place goes on
	turn   chan struct{} // held by whoever starts a new run

	mu   sync.Mutex
	run  *run    // nil: the memory has its bytes
	word runWord // which one it is
}

// Open runs the view.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Flags&unix.O_ACCMODE != unix.O_RDONLY {
		return fuse.EROFS
	}
	f.undoOpen(&in.InHeader)
	if f.nodes.taken(in.NodeId, in.Pid) {
		f.forgetClosed() // the server before us may have closed the file and given its node away since
		if f.nodes.taken(in.NodeId, in.Pid) && f.late.first(in.Pid, 0) {
			return fuse.Status(unix.ESTALE) // look the path up again, and get a node of your own
		}
	}
	f.nodes.opened(in.NodeId) // before the run, which may take longer than a reservation lasts
	r, err := f.start(cancel, f.node(in.NodeId), in.Uid)
	var record *record
	if err == nil {
		if record = f.memory.take(&in.InHeader); record == nil {
			r.done()
			err = unix.ENFILE
		}
	}
	if err != nil {
		f.nodes.closed(in.NodeId)
		if errors.Is(err, unix.ENOENT) {
			return f.stale.answer(&in.InHeader)
		}
		return errno(err)
	}
	out.Fh = f.memory.handle(f.memory.index(record))
	o := newFile(in.NodeId, out.Fh, record)
	o.run = r
	o.word, _ = f.memory.keep(record, 0, r.data)
	f.memory.open(record, out.Fh, &in.InHeader)
	f.files.add(out.Fh, o)
	f.nodes.holds(in.NodeId, uint64(len(r.data)), record)
	f.tellSize(in.NodeId, r.data)
	// Direct I/O brings every read(2) here. Without KEEP_CACHE the kernel drops the pages of an earlier run.
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return fuse.OK
}

func newFile(node, handle uint64, r *record) *file {
	return &file{node: node, handle: handle, record: r, turn: make(chan struct{}, 1)}
}

// tellSize makes the inode as large as the run by storing its last byte: splice(2), sendfile(2) and mmap(2) believe the
// inode, and there is no other way to grow it from here. The pages themselves they fetch with READ.
func (f *FS) tellSize(node uint64, data []byte) {
	if last := len(data) - 1; last >= 0 {
		// An error is of no consequence for read(2), and the kernel has none but ENOENT for an inode it has dropped.
		_ = f.kernel.Store(node, int64(last), data[last:])
	}
}

// Read answers from the run that the open file holds, or from a new one.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, _ []byte) (fuse.ReadResult, fuse.Status) {
	open, ok := f.file(in.Fh)
	if !ok {
		return nil, fuse.Status(unix.ESTALE)
	}
	// The kernel names a lock owner when it reads for read(2), and none when it fills its page cache.
	direct := in.ReadFlags&fuse.READ_LOCKOWNER != 0
	if !direct {
		f.nodes.caching(in.NodeId)
	} else if in.Offset == 0 && !open.record.begins(&in.InHeader) {
		if err := f.again(cancel, open, &in.InHeader); err != nil {
			return nil, errno(err)
		}
	}
	part, err := f.slice(open, in.Offset, int(in.Size))
	if errors.Is(err, unix.ESTALE) && direct && in.Offset == 0 {
		if err = f.again(cancel, open, &in.InHeader); err == nil {
			part, err = f.slice(open, in.Offset, int(in.Size))
		}
	}
	if err != nil {
		return nil, errno(err)
	}
	return part, fuse.OK
}

// again replaces an open file's run by a new one.
func (f *FS) again(cancel <-chan struct{}, o *file, h *fuse.InHeader) error {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-cancel:
		return context.Canceled
	}
	r, err := f.start(cancel, f.node(o.node), h.Uid)
	if errors.Is(err, unix.ENOENT) {
		return unix.ENODEV // the path is fine as far as the reader can tell: its cgroup is gone
	} else if err != nil {
		return err
	}
	size := uint64(len(r.data))
	o.mu.Lock()
	old, known := o.run, o.word
	held := runWord(o.record.run.Load())
	word, kept := f.memory.keep(o.record, o.handle, r.data)
	if !kept {
		o.mu.Unlock()
		r.done()
		return errClosed
	}
	o.run, o.word = r, word
	o.record.first.Store(requester(h)) // after the run: it is the one that this READ asked for
	before, cached := f.nodes.rerun(o.node, size)
	o.mu.Unlock()
	if old != nil {
		old.done()
	}

	// No lock is held here: the kernel may wait for a READ of this very file.
	if held != 0 && held != known { // another server's run
		before, cached = held.size(), true
	}
	if cached || before != size {
		_ = f.kernel.Invalidate(o.node, 0, 0) // ENOENT: nothing to forget
	}
	if size > before || before == unknownSize {
		f.tellSize(o.node, r.data)
	}
	return nil
}

// errClosed is nobody's to see: the reader has been answered in our place, and has closed the file.
var errClosed = unix.EBADF

// Release forgets an open file.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { f.forget(in.Fh) }

func (f *FS) forget(fh uint64) {
	f.file(fh) // one of an earlier server's is counted before it is not any more
	if o, ok := f.files.remove(fh); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.run != nil {
			o.run.done()
		}
		// The node is nobody else's before all servers can see that the file is closed. The lock is for again, which tells nodes of its run.
		if f.memory.find(fh) == o.record {
			f.memory.drop(o.record)
		}
		f.nodes.closed(o.node)
	}
}

// start makes one run of the file that a node stands for, and waits for it no longer than the reader does.
func (f *FS) start(cancel <-chan struct{}, n node, uid uint32) (*run, error) {
	name, generate := f.generator(n)
	if generate == nil {
		return nil, fmt.Errorf("%s: no such view any more: %w", name, unix.ENOENT)
	}
	start := time.Now()
	r, err := f.limits.run(cancel, uid, func(ctx context.Context, dst []byte) ([]byte, error) {
		return generate(ctx, n.cgroup, dst)
	})
	f.counts.add(r, err)
	if m := f.views.Load().meters[n.number]; n.isView() && m != nil {
		m.add(start, r, err)
	}
	if err != nil {
		f.errors.add(f.hierarchy, name, n.cgroup, err)
	}
	return r, err
}

// generator finds what makes the content of a file.
func (f *FS) generator(n node) (name string, generate func(context.Context, uint64, []byte) ([]byte, error)) {
	switch {
	case n.kind == kindView:
		if v := f.views.Load().byNumber[n.number]; v != nil {
			return v.Name, v.Run
		}
	case n.isView():
		as := n.rendering()
		if v := f.views.Load().byNumber[n.number]; v != nil && v.has(as) {
			name := path.Join(controlName, renderings[as].dir, as.fileName(v.Name))
			return name, func(ctx context.Context, cgroup uint64, dst []byte) ([]byte, error) {
				return v.Render(ctx, as, cgroup, dst)
			}
		}
	case n.kind == kindInfo:
		if n.number < len(infos) {
			i := infos[n.number]
			return controlName + "/" + i.name, func(_ context.Context, cgroup uint64, dst []byte) ([]byte, error) {
				return i.append(f, cgroup, dst)
			}
		}
	}
	return "a file", nil
}
