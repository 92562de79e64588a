package fs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/limits"
	"bpfviewfs/fs/openfiles"
	words "bpfviewfs/internal/errno"
	"bpfviewfs/internal/room"
	"golang.org/x/sys/unix"
)

// content is the source of a file: a view in one of its renderings, or an info.
type content struct {
	view *View
	as   Rendering
	info *info
}

// content finds the content of a node's file. unix.ENOENT means that the view is gone.
func (f *FS) content(n node) (content, error) {
	switch {
	case n.isView():
		as := n.rendering()
		if v := f.views.Load().byNumber[n.number]; v != nil && v.has(as) {
			return content{view: v, as: as}, nil
		}
		return content{}, words.Errorf(unix.ENOENT, "no such view any more")
	case n.isUnion():
		return f.unionContent(n)
	case n.kind == kindInfo:
		return content{info: &infos[n.number]}, nil
	}
	return content{}, words.Errorf(unix.EINVAL, "not a file")
}

// name returns the file's path in its cgroup's directory.
func (c content) name() string {
	switch {
	case c.info != nil:
		return path.Join(controlName, c.info.name)
	case c.as == Plain:
		return c.view.Name
	}
	return path.Join(controlName, renderings[c.as].dir, c.as.fileName(c.view.Name))
}

// append adds the file's content for a cgroup and a reader to dst.
func (c content) append(ctx context.Context, f *FS, cgroup uint64, who reader, dst []byte) ([]byte, error) {
	switch {
	case c.info != nil:
		return c.info.append(f, cgroup, who.isRoot(), dst)
	case c.as == Plain:
		return c.view.Run(ctx, cgroup, dst)
	}
	return c.view.Render(ctx, c.as, cgroup, who.rights(), dst)
}

// start makes one run of the file of a node, with the rights of a reader, within the limits of user uid. It
// waits no longer than the reader does. entry is nil if the file is not open yet. If there is no error the
// caller ends the run, after an open file is charged for the result.
func (f *FS) start(cancel <-chan struct{}, n node, uid uint32, who reader, entry *openfiles.Entry) (
	*buffers.Run, *running, error) {
	c, err := f.content(n)
	if err != nil {
		return nil, nil, err
	}
	start := time.Now()
	var r *buffers.Run
	this := &running{Context: context.Background(), cancel: cancel}
	for {
		if this.Run, err = f.limits.Begin(cancel, uid, n.id(), this.Wants()); err != nil {
			break
		}
		if r, err = f.run(this, c, n.cgroup, who, entry); err == nil {
			this.Learn()
			break
		}
		this.End()
		if !errors.Is(err, limits.ErrTurn) {
			break
		}
	}
	f.counts.add(r, err)
	if n.isView() {
		if m := f.views.Load().meters[n.number]; m != nil {
			m.add(start, r, err)
		}
	}
	if err != nil {
		f.failed(uid, c.name(), n.cgroup, err)
	}
	return r, this, err
}

func (f *FS) run(ctx context.Context, c content, cgroup uint64, who reader, entry *openfiles.Entry) (r *buffers.Run,
	err error) {
	time := f.now()
	var mapping *openfiles.Mapping
	if c.as.isTree() {
		mapping = f.memory.Mapping(entry)
	}
	s, empty := buffers.Begin(mapping)
	defer func() {
		if p := recover(); p != nil { // the scratch buffer may still be in use
			place := f.panics.Recovered(f.logf, "read "+c.name(), p)
			r = nil
			err = fmt.Errorf("panic in %s: %v: please report it with the stack in the log", place, p)
		}
	}()
	data, err := c.append(ctx, f, cgroup, who, empty)
	if err != nil {
		s.Fail()
		return nil, err
	}
	r = s.Hold(data, time)
	s.End(len(data))
	return r, nil
}

// running is the context of a run. It is done when the kernel interrupts the request, and grants memory
// within the limits of the user.
type running struct {
	context.Context
	limits.Run
	cancel <-chan struct{}
}

func (r *running) Done() <-chan struct{} { return r.cancel }

func (r *running) Err() error {
	select {
	case <-r.cancel:
		return context.Canceled
	default:
		return nil
	}
}

func (r *running) Value(key any) any {
	if key == (room.Key{}) {
		return &r.Run
	}
	return nil
}
