package fs

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"bpfviewfs/fs/openfiles"
)

// openFiles are the open files, each at the index of its entry.
type openFiles struct {
	at    [openfiles.Entries]atomic.Pointer[file]
	count atomic.Int64
	peak  atomic.Int64 // of count, since trim has found something to do
}

// trim gives memory back to the machine when most of many files have been closed. The collector alone would
// take minutes.
func (o *openFiles) trim() {
	const many = 4096
	peak, count := o.peak.Load(), o.count.Load()
	if peak >= many && count < peak/4 && o.peak.CompareAndSwap(peak, count) {
		time.AfterFunc(time.Second, func() {
			runtime.GC() // pools keep their buffers for one more collection
			debug.FreeOSMemory()
		})
	}
}

func (o *openFiles) get(fh uint64) *file {
	if f := o.at[openfiles.Index(fh)].Load(); f != nil && f.handle == fh {
		return f
	}
	return nil
}

// add returns the open file of the handle: f, or an earlier one; nil if the handle was closed meanwhile.
func (o *openFiles) add(f *file) (_ *file, added bool) {
	at := &o.at[openfiles.Index(f.handle)]
	for {
		there := at.Load()
		switch {
		case there != nil && there.handle == f.handle:
			return there, false
		case there != nil && there.handle > f.handle: // handles grow, so the entry is this file's by now
			return nil, false
		}
		// The file of an earlier handle was closed by another server. It ends when another file
		// replaces it.
		if at.CompareAndSwap(there, f) {
			if count := o.count.Add(1); count > o.peak.Load() {
				o.peak.Store(count)
			}
			if there != nil {
				o.count.Add(-1)
				there.end()
			}
			return f, true
		}
	}
}

func (o *openFiles) remove(f *file) bool {
	removed := o.at[openfiles.Index(f.handle)].CompareAndSwap(f, nil)
	if removed {
		o.count.Add(-1)
	}
	return removed
}

// all calls do for every open file.
func (o *openFiles) all(do func(*file)) {
	for i := range o.at {
		if f := o.at[i].Load(); f != nil {
			do(f)
		}
	}
}

// openDirs are the open directories, by handle.
type openDirs struct {
	mu   sync.RWMutex
	open map[uint64]*directory
}

func (o *openDirs) init() { o.open = make(map[uint64]*directory) }

// add returns the open directory of the handle: d, or an earlier one.
func (o *openDirs) add(fh uint64, d *directory) (_ *directory, added bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if there, ok := o.open[fh]; ok {
		return there, false
	}
	o.open[fh] = d
	return d, true
}

func (o *openDirs) get(fh uint64) (d *directory, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	d, ok = o.open[fh]
	return d, ok
}

func (o *openDirs) remove(fh uint64) (d *directory, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d, ok = o.open[fh]
	delete(o.open, fh)
	return d, ok
}

// Owner returns the user id that opened a file or directory, by its handle; false if the handle is not open.
// The kernel sends RELEASE and RELEASEDIR with user id 0, but that user should be charged.
func (f *FS) Owner(handle uint64) (uid uint32, ok bool) {
	if e := f.memory.Find(handle); e != nil {
		uid = e.UID()
		return uid, e.Handle() == handle // else the file was closed meanwhile
	}
	if d, ok := f.dirs.get(handle); ok {
		return d.account.UID(), true
	}
	return 0, false
}
