package fs

import (
	"fmt"
	"math"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Inherit has the filesystem keep in a file what must outlive it: the numbers of views, and its open files with the
// runs they hold. It takes up what earlier servers of the same mount have left there. To be called before SetViews.
func (f *FS) Inherit(file *os.File) (err error) {
	f.memory, err = openMemory(file)
	return err
}

// ViewNumber is the number of the view that a node id stands for.
func ViewNumber(id uint64) (number int, ok bool) {
	n := parseNode(id)
	return n.number, n.isView()
}

// Begin is called when this server takes the place of another, before its first request. Views in disabled, by number,
// are absent for the reason given there. SetViews must have been called before.
func (f *FS) Begin(disabled map[int]string) {
	m := f.memory
	server := m.head.servers.Add(1)
	m.side = int(server & 1)
	f.nodes.startAt(server)
	f.openers = make(map[uint64]*record)
	for index := range m.head.records.Load() {
		r := &m.records[index+1]
		if opener := r.opener.Load(); opener != 0 {
			f.openers[opener] = r
		}
		f.file(r.handle.Load())
	}
	f.disable(disabled)
}

// Alone is called when no other server works for this mount any more. Files that the other has closed in its last moments
// are forgotten, whichever of the two had opened them.
func (f *FS) Alone() { f.forgetClosed() }

// forgetClosed forgets the open files that another server has closed.
func (f *FS) forgetClosed() {
	for _, fh := range f.files.all() {
		if f.memory.find(fh) == nil {
			f.forget(fh)
		}
	}
}

func (f *FS) disable(views map[int]string) {
	if len(views) == 0 {
		return
	}
	f.viewMu.Lock()
	f.disabled = views
	f.viewMu.Unlock()
	var list []View
	for _, v := range f.views.Load().all {
		list = append(list, *v)
	}
	if err := f.SetViews(list); err != nil { // never: it is the list there is
		panic(fmt.Sprintf("fs: the same views again: %v", err))
	}
}

// undoOpen takes back what an OPEN has done for a server that died before it could answer: the OPEN comes again.
func (f *FS) undoOpen(h *fuse.InHeader) {
	r := f.openers[requester(h)]
	if r == nil || r.opener.Load() != requester(h) {
		return
	}
	if fh := r.handle.Load(); fh != 0 {
		f.forget(fh)
	} else {
		f.memory.drop(r)
	}
}

// unknownSize stands for the size of a run that is lost.
const unknownSize = math.MaxUint64

// file finds an open file, also one that another server has opened.
func (f *FS) file(fh uint64) (*file, bool) {
	if o, ok := f.files.get(fh); ok {
		return o, true
	}
	r := f.memory.find(fh)
	if r == nil {
		return nil, false
	}
	node, size := r.node.Load(), uint64(unknownSize)
	if word := runWord(r.run.Load()); word != 0 {
		size = word.size()
	}
	f.nodes.opened(node) // first, as the file may be forgotten as soon as it is there
	f.nodes.holds(node, size, r)
	o, added := f.files.add(fh, newFile(node, fh, r))
	if !added {
		f.nodes.closed(node)
	}
	return o, true
}

// find looks for an open file of a node among those of other servers.
func (f *FS) find(node uint64) (found bool) {
	for index := range f.memory.head.records.Load() {
		if r := &f.memory.records[index+1]; r.node.Load() == node {
			_, ok := f.file(r.handle.Load())
			found = found || ok
		}
	}
	return found
}

// recall makes a run of the bytes that the memory has for an open file.
func (f *FS) recall(r *record) (*run, runWord, bool) {
	held := f.limits.hold(uint32(r.uid.Load()))
	var word runWord
	var ok bool
	if held.data, word, ok = f.memory.load(r, held.data); !ok {
		held.done()
		return nil, 0, false
	}
	held.charged = held.fit()
	held.account.force(held.charged)
	return held, word, true
}
