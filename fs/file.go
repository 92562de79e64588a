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
	node uint64
	turn chan struct{} // held by whoever starts a new run

	mu    sync.Mutex
	run   *run
	begun bool // the run's first byte was read by read(2)
}

// Open runs the view.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n := f.node(in.NodeId)
	r, err := f.start(cancel, n, in.Uid)
	if errors.Is(err, unix.ENOENT) {
		return f.stale.answer(&in.InHeader)
	} else if err != nil {
		return errno(err)
	}
	f.nodes.opened(in.NodeId, uint64(len(r.data)))
	f.tellSize(in.NodeId, r.data)
	out.Fh = f.files.add(&file{node: in.NodeId, turn: make(chan struct{}, 1), run: r})
	// Direct I/O brings every read(2) here. Without KEEP_CACHE the kernel drops the pages of an earlier run.
	out.OpenFlags = fuse.FOPEN_DIRECT_IO | fuse.FOPEN_NOFLUSH
	return fuse.OK
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
	open, ok := f.files.get(in.Fh)
	if !ok {
		return nil, fuse.EBADF
	}
	// The kernel names a lock owner when it reads for read(2), and none when it fills its page cache.
	direct := in.ReadFlags&fuse.READ_LOCKOWNER != 0
	if !direct {
		f.nodes.caching(in.NodeId)
	} else if in.Offset == 0 && !open.begin() {
		if err := f.again(cancel, open, in.Uid); err != nil {
			return nil, errno(err)
		}
	}
	return open.slice(in.Offset, int(in.Size)), fuse.OK
}

// begin tells whether this is the first read of the held run's first byte.
func (o *file) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := !o.begun
	o.begun = true
	return first
}

// again replaces an open file's run by a new one.
func (f *FS) again(cancel <-chan struct{}, o *file, uid uint32) error {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-cancel:
		return context.Canceled
	}
	r, err := f.start(cancel, f.node(o.node), uid)
	if errors.Is(err, unix.ENOENT) {
		return unix.ENODEV // the path is fine as far as the reader can tell: its cgroup is gone
	} else if err != nil {
		return err
	}
	o.mu.Lock()
	old := o.run
	o.run = r
	o.mu.Unlock()
	old.done()

	// No lock is held here: the kernel may wait for a READ of this very file.
	size := uint64(len(r.data))
	before, cached := f.nodes.rerun(o.node, size)
	if cached || before != size {
		_ = f.kernel.Invalidate(o.node, 0, 0) // ENOENT: nothing to forget
	}
	if size > before {
		f.tellSize(o.node, r.data)
	}
	return nil
}

// Release forgets an open file.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	if o, ok := f.files.remove(in.Fh); ok {
		f.nodes.closed(o.node)
		o.run.done()
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
