// Package listing holds the contents of directories.
package listing

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Listing is the content of a directory at one moment. It never changes, and open directories share it.
//
// Entries are sorted by their offsets: files first, then child cgroups by id, which is the order of their
// creation. So an offset (telldir, seekdir, the position of an open directory) means the same in every
// listing of the directory.
//
// A listing shares the chunks that are equal with the listing before it. So many readers of a large directory
// that changes hold little more than one.
type Listing struct {
	chunks []*chunk
	size   int64 // of all chunks, in bytes
}

// Size is how many bytes are charged for the listing. What it shares with others is charged for each.
func (l *Listing) Size() int64 { return l.size }

// Estimate is about the size of a listing with so many entries.
func Estimate(entries int64) int64 { return leastSize + entries*(entrySize+usualName) }

// chunk is a part of a listing. An entry alone decides whether it is the last of its chunk, so a new cgroup
// or a removed one changes one chunk, or two.
type chunk struct {
	entries []entry
	names   []byte
}

// entry is one name of a listing.
type entry struct {
	off, ino uint64
	at       uint32 // of the name in the chunk's names
	length   uint8
	kind     uint8 // S_IFDIR and the like, shifted
}

const (
	entrySize = int64(unsafe.Sizeof(entry{}))
	usualName = 16   // bytes
	leastSize = 4096 // bytes that are charged for any
	kindShift = 12
)

// endsChunk is true for one entry of 128. The factor is 2^64 divided by the golden ratio (Fibonacci hashing).
func (e *entry) endsChunk() bool { return e.off*0x9e3779b97f4a7c15>>57 == 0 }

func (e *entry) name(names []byte) []byte { return names[e.at:][:e.length] }

func compareOffset(e entry, off uint64) int { return cmp.Compare(e.off, off) }

// After calls add for the entries after an offset, until it returns false. Their names are valid as long as
// the listing.
func (l *Listing) After(off uint64, add func(fuse.DirEntry) bool) {
	first, _ := slices.BinarySearchFunc(l.chunks, off+1, func(c *chunk, off uint64) int {
		return compareOffset(c.entries[len(c.entries)-1], off)
	})
	for _, c := range l.chunks[first:] {
		next, _ := slices.BinarySearchFunc(c.entries, off+1, compareOffset)
		for _, e := range c.entries[next:] {
			name := unsafe.String(&c.names[e.at], int(e.length))
			mode := uint32(e.kind) << kindShift
			if !add(fuse.DirEntry{Name: name, Mode: mode, Ino: e.ino, Off: e.off}) {
				return
			}
		}
	}
}

// Draft collects a listing. A draft that is used again allocates only its growth.
type Draft struct {
	entries []entry
	names   []byte
	chunk   chunk // the one that Finish looks at
}

var drafts = sync.Pool{New: func() any { return new(Draft) }}

// Begin returns an empty draft. Call End on it afterwards.
func Begin() *Draft {
	d := drafts.Get().(*Draft)
	d.entries, d.names = d.entries[:0], d.names[:0]
	return d
}

// End lets a later listing use the draft.
func (d *Draft) End() { drafts.Put(d) }

// Add adds a name with the type in mode (S_IFDIR and the like).
func (d *Draft) Add(name string, mode uint32, off, ino uint64) {
	d.entries = append(d.entries,
		entry{off, ino, uint32(len(d.names)), uint8(len(name)), uint8(mode >> kindShift)})
	d.names = append(d.names, name...)
}

// Finish makes the listing. last is an earlier one of the same directory, or nil.
func (d *Draft) Finish(last *Listing) *Listing {
	slices.SortFunc(d.entries, func(a, b entry) int { return cmp.Compare(a.off, b.off) })
	var before []*chunk
	if last != nil {
		before = last.chunks
	}
	l := &Listing{size: leastSize}
	c := &d.chunk
	c.entries, c.names = c.entries[:0], c.names[:0]
	for i, e := range d.entries {
		name := e.name(d.names)
		e.at = uint32(len(c.names))
		c.entries, c.names = append(c.entries, e), append(c.names, name...)
		if !e.endsChunk() && i < len(d.entries)-1 {
			continue
		}
		for len(before) > 0 && before[0].entries[0].off < c.entries[0].off {
			before = before[1:]
		}
		if len(before) > 0 && before[0].equals(c) {
			l.chunks = append(l.chunks, before[0])
		} else {
			l.chunks = append(l.chunks, &chunk{slices.Clone(c.entries), slices.Clone(c.names)})
		}
		l.size += int64(len(c.entries))*entrySize + int64(len(c.names))
		c.entries, c.names = c.entries[:0], c.names[:0]
	}
	return l
}

func (c *chunk) equals(other *chunk) bool {
	return slices.Equal(c.entries, other.entries) && bytes.Equal(c.names, other.names)
}
