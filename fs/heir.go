package fs

import (
	"fmt"
	"os"

	"bpfviewfs/fs/buffers"
	"bpfviewfs/fs/openfiles"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Inherit has the filesystem keep its lasting state in a file: the numbers of views, and its open files with
// their runs. It takes up the state of earlier servers of the same mount. Call it before SetViews.
func (f *FS) Inherit(file *os.File) (err error) {
	f.memory, err = openfiles.Open(file)
	return err
}

// ViewNumber returns the number of the view of a node id.
func ViewNumber(id uint64) (number int, ok bool) {
	n, err := parseNode(id)
	return n.number, err == nil && n.isView()
}

// Begin is called before the first request of a server that replaces another one. Views in disabled, by
// number, are absent for the reason given there. Call SetViews first.
func (f *FS) Begin(disabled map[int]string) {
	f.server = f.memory.Begin()
	f.alone.Store(f.server == 1)
	f.noteOpeners()
	for e := range f.memory.All() {
		f.file(e.Handle())
	}
	f.disable(disabled)
}

// noteOpeners notes the OPENs that an earlier server may not have answered.
func (f *FS) noteOpeners() {
	openers := make(map[uint64]*openfiles.Entry)
	for e := range f.memory.All() {
		if opener := e.Opener(); opener != 0 {
			openers[opener] = e
		}
	}
	f.openers.Store(&openers)
}

// Leave is called when another server is about to replace this one. It keeps all that the next server needs
// in the memory.
func (f *FS) Leave() {
	f.leaving.Store(true)
	f.files.all((*file).share)
}

// Alone is called when no other server works for this mount. It forgets files that the other server has
// closed at its end, whichever of the two had opened them. Requests that the other has left come after this.
func (f *FS) Alone() {
	f.noteOpeners() // again, because the other may have died in an OPEN that it began later
	f.alone.Store(true)
	f.memory.Alone()
	f.files.all(func(o *file) { f.forget(o) })
}

// forget removes an open file if another server has closed it, or another thread.
func (f *FS) forget(o *file) (closed bool) {
	o.mu.Lock() // an OPEN may be about to give the entry its handle
	closed = o.entry.Handle() != o.handle
	o.mu.Unlock()
	if closed {
		f.remove(o)
	}
	return closed
}

// isShared reports whether an earlier or a later server may work for the mount at the same time.
func (f *FS) isShared() bool {
	return f.leaving.Load() || !f.alone.Load() || f.memory.Servers() != f.server
}

// disable has some views disabled, and numbers all of them again: other servers may have numbered other views
// since this one was prepared.
func (f *FS) disable(views map[int]string) {
	f.viewMu.Lock()
	f.disabled = views
	f.viewMu.Unlock()
	var list []View
	for _, v := range f.views.Load().all {
		list = append(list, *v)
	}
	if err := f.SetViews(list); err != nil { // never, because the same list was accepted before
		panic(fmt.Sprintf("fs: the same views again: %v", err))
	}
}

// requester identifies a request for good, because the kernel gives each one a new number, an even one.
func requester(h *fuse.InHeader) uint64 { return h.Unique | 1 }

// undoOpen undoes an OPEN of a server that died before it could answer, because the OPEN comes again.
func (f *FS) undoOpen(h *fuse.InHeader) {
	e := (*f.openers.Load())[requester(h)]
	if e == nil || e.Opener() != requester(h) {
		return
	}
	if fh := e.Handle(); fh != 0 {
		f.release(fh)
	} else {
		f.memory.Drop(e)
	}
}

// file finds an open file, also one that another server has opened. It returns nil if the handle is not open.
func (f *FS) file(fh uint64) *file {
	if o := f.files.get(fh); o != nil {
		return o
	}
	e := f.memory.Find(fh)
	if e == nil {
		return nil
	}
	id, word := e.Node(), e.Run()
	n, err := f.node(id)
	if err != nil {
		return nil
	}
	o := &file{fs: f, node: n, handle: fh, entry: e, word: word, charged: buffers.Cost(0)}
	if word.Kept() && word.Size() <= openfiles.LargestKept { // else the memory was overwritten
		o.charged = buffers.KeptCost(int(word.Size()))
	}
	o.account = f.limits.Force(e.UID(), 1, o.charged)
	o.shown = f.newest.Opened(id)
	f.newest.Found(o.shown, word.Size(), e.Time())
	there, added := f.files.add(o)
	switch {
	case !added:
		o.account.Release(1, o.charged)
		f.newest.Released(o.shown)
	case f.forget(o): // it was closed before it was added
		return nil
	}
	return there
}

// find takes up a node's open files of other servers.
func (f *FS) find(node uint64) {
	for e := range f.memory.All() {
		if e.Node() == node {
			if o := f.file(e.Handle()); o != nil {
				f.newest.Found(o.shown, e.Run().Size(), e.Time())
			}
		}
	}
}
