package openfiles

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func testMemory(t *testing.T) *Memory {
	t.Helper()
	if strictOvercommit() {
		t.Skip("vm.overcommit_memory is 2")
	}
	fd, err := unix.MemfdCreate("mapping", 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "mapping")
	t.Cleanup(func() { file.Close() })
	m, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	m.Begin()
	t.Cleanup(m.endSpares)
	return m
}

// pages is the size of what the memory has of runs.
func (m *Memory) pages(t *testing.T) (size int64) {
	t.Helper()
	for at := int64(bytesAt); ; {
		data, err := unix.Seek(int(m.file.Fd()), at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			return size
		}
		hole, err2 := unix.Seek(int(m.file.Fd()), data, unix.SEEK_HOLE)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		size += hole - data
		at = hole
	}
}

// hold makes a run of size bytes in a new open file, or one that is open.
func hold(t *testing.T, m *Memory, e *Entry, size int) (*Entry, *Mapping, RunWord) {
	t.Helper()
	r := m.Mapping(e)
	if r == nil {
		t.Fatal("no mapping")
	}
	copy(r.Bytes(), bytes.Repeat([]byte{'x'}, size))
	r.Hold(size)
	handle := uint64(0)
	if e == nil {
		if e = m.Allocate(3, r); e == nil {
			t.Fatal("no entry")
		}
	} else {
		handle = e.Handle()
	}
	word, ok := m.Hold(e, handle, size, 1, r)
	if !ok || !word.Kept() || int(word.Size()) != size {
		t.Fatalf("%v %v", word, ok)
	}
	if handle == 0 {
		m.Complete(e, m.Handle(e), 1, 0)
	}
	into := make([]byte, size)
	if n, err := m.Load(e, word, 0, into); err != nil || n != size || bytes.Count(into, []byte{'x'}) != n {
		t.Fatalf("%d bytes of %d are kept: %v", bytes.Count(into, []byte{'x'}), size, err)
	}
	return e, r, word
}

// fewSpares checks that the pages of a run that is larger than all spares may be do not stay.
func fewSpares(t *testing.T, m *Memory) {
	t.Helper()
	e, huge, _ := hold(t, m, nil, spareSize+1)
	huge.Done()
	m.Drop(e)
	if size := m.pages(t); size > spareSize {
		t.Errorf("spares hold %d bytes", size)
	}
}

// A run in a mapping is in the memory from the start. Its pages are used by the next run, and free soon.
func TestMappings(t *testing.T) {
	m := testMemory(t)
	e, r, _ := hold(t, m, nil, 8<<20)
	_, again, _ := hold(t, m, e, 1<<20)
	if r == again {
		t.Fatal("a run is made in the place of the run that is held")
	}
	r.Done()
	again.Done()
	m.Drop(e)
	if size := m.pages(t); size < 9<<20 {
		t.Errorf("of two spares %d bytes are left", size)
	}
	e, next, _ := hold(t, m, nil, 1<<20)
	if next != r && next != again {
		t.Error("a spare is not used")
	}
	m.endSpares()
	if size := m.pages(t); size > 1<<20 {
		t.Errorf("%d bytes are held by 1 MiB", size)
	}
	next.Done()
	m.Drop(e)
	fewSpares(t, m)
	m.endSpares()
	if size := m.pages(t); size > 0 || len(m.mappings.at) > 0 {
		t.Errorf("spares hold %d bytes for ever", size)
	}
}

// If open files may hold little, the pages that no run needs are few, too.
func TestSparesWithLittleMemory(t *testing.T) {
	const total = 8 << 20
	m := testMemory(t)
	m.SetTotal(total)
	var mappings []*Mapping
	for range 4 {
		_, r, _ := hold(t, m, nil, total/spareShare/2)
		mappings = append(mappings, r)
	}
	for _, r := range mappings {
		r.Done()
	}
	if size := m.pages(t); size == 0 || size > total/spareShare {
		t.Errorf("spares hold %d bytes", size)
	}
	m.SetTotal(1 << 40)
	fewSpares(t, m)
	m.endSpares()
}

// A place has one writer: a run in a mapping, or bytes that are copied from the heap.
func TestOneWriterOfAPlace(t *testing.T) {
	m := testMemory(t)
	e, r, word := hold(t, m, nil, 100)
	other := m.Mapping(e)
	if m.Mapping(e) != nil {
		t.Error("two runs are made in one place")
	}
	if _, ok := m.Save(e, word, []byte("heap")); ok {
		t.Error("a run is written over another")
	}
	other.Done()
	kept, ok := m.Save(e, word, []byte("heap"))
	if !ok || kept.place() == word.place() {
		t.Errorf("a run of the heap is not kept beside the other: %v", kept)
	}
	m.endSpares() // the place is no spare any more
	into := make([]byte, 4)
	if _, err := m.Load(e, kept, 0, into); err != nil || string(into) != "heap" {
		t.Errorf("%q, %v", into, err)
	}
	r.Done()
}

// What a dead server left is freed, and no more.
func TestAlone(t *testing.T) {
	m := testMemory(t)
	e, _, word := hold(t, m, nil, 1<<20)
	_, _, _ = e, m.Mapping(e), m.Mapping(nil)
	copy(m.Mapping(nil).Bytes()[1<<20:], "a run that was never ended")
	if m.pages(t) <= 1<<20 {
		t.Fatal("there is nothing to free")
	}
	next := &Memory{file: m.file, head: m.head, entries: m.entries}
	next.Begin()
	mine := next.Mapping(nil)
	mine.Bytes()[0] = 1
	next.Alone()
	if size := m.pages(t); size > 1<<20+4096 {
		t.Errorf("%d bytes are left", size)
	}
	into := make([]byte, 1)
	if _, err := next.Load(e, word, 0, into); err != nil || into[0] != 'x' || mine.Bytes()[0] != 1 {
		t.Errorf("the run that is held: %q, %v; this server's: %d", into, err, mine.Bytes()[0])
	}
}

// A server that is told late that it is alone frees nothing of the one after it, which has written a run and not
// said so yet. The one after it does not wait for a server that died meanwhile.
func TestAloneTooLate(t *testing.T) {
	m := testMemory(t)
	m.Begin()
	next := &Memory{file: m.file, head: m.head, entries: m.entries}
	m.head.freeing.Store(1)
	next.Begin()
	run := next.Mapping(nil)
	run.Bytes()[0] = 1
	m.Alone()
	m.empty(&m.entries[run.index], RunWord(0).next(1<<20).keptAt(run.place))
	if run.Bytes()[0] != 1 {
		t.Error("the other server's run is gone")
	}
	run.Drop(1)
}
