// Package openfiles is the memory of open files, in which a server finds the open files of the server before
// it. It has the numbers of views and unions, too, because node ids outlive a server as well.
package openfiles

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory outlives the server: it is a file that the next server gets, too. Two servers may use it at once
// during a hand-over. Without a file, the process's own memory takes its place, and ends with it.
//
//	header     layout, the last handle given out, how many servers there were, the highest entry used
//	names      of views, by number: a node id must not come to mean another view
//	entries    one for every open file
//	unions     names of unions, by number
//	bytes      of the runs that open files hold, four places for every entry
//
// The places are far apart in a sparse file, so nothing has to be allocated.
type Memory struct {
	file    *os.File // nil: none
	head    *header
	names   *[Views]name
	unions  *[Views]name
	entries *[Entries]Entry
	number  uint64 // of this server
	side    int    // 0 or 1: the two of an entry's four places that this server writes to

	mu   sync.Mutex
	free []uint32 // entries; some may have been taken by another server

	alone    atomic.Bool // no server before this one works for the mount
	mappings mappings
}

type header struct {
	layout  uint64
	handles atomic.Uint64 // the last sequence number of a handle
	servers atomic.Uint64 // how many there were
	entries atomic.Uint64 // no entry above has been used
	lists   uint64        // of views that there were; under lock
	unions  uint64        // how often one was looked up; under lock
	freeing atomic.Uint64 // a server that is alone frees pages; the next one waits
}

const (
	layoutNow = 0x62707603

	// Views is how many views have a number at one time, and how many unions.
	Views = 512
	// NumberBits is the length of these numbers. See Numbers.
	NumberBits = 18
	// Entries is how many open files there may be, and 1.
	Entries = 1 << entryBits
	// LargestKept is the size of the largest run that the memory takes, in bytes.
	LargestKept = 1 << placeBits

	entryBits  = 16
	namesAt    = 4096
	entriesAt  = namesAt + Views*int(unsafe.Sizeof(name{}))
	unionsAt   = entriesAt + Entries*int(unsafe.Sizeof(Entry{})) // all zeros in the memory of a server without unions
	memorySize = unionsAt + Views*int(unsafe.Sizeof(name{}))
	bytesAt    = 1 << 30
	placeBits  = 28
	places     = 4
)

// Open takes up the state of earlier servers in file. Without a file it begins an empty memory of this server
// alone.
func Open(file *os.File) (*Memory, error) {
	m := &Memory{file: file, mappings: mappings{spare: spareSize}}
	var mem []byte
	if file == nil {
		mem = make([]byte, memorySize)
	} else {
		var err error
		if err = unix.Ftruncate(int(file.Fd()), bytesAt+Entries*places*LargestKept); err == nil {
			mem, err = unix.Mmap(int(file.Fd()), 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
		if err != nil {
			return nil, fmt.Errorf("map the memory of open files: %w", err)
		}
	}
	m.head = (*header)(unsafe.Pointer(&mem[0]))
	m.names = (*[Views]name)(unsafe.Pointer(&mem[namesAt]))
	m.entries = (*[Entries]Entry)(unsafe.Pointer(&mem[entriesAt]))
	m.unions = (*[Views]name)(unsafe.Pointer(&mem[unionsAt]))
	switch m.head.layout {
	case 0:
		m.head.layout = layoutNow
	case layoutNow:
	default:
		return nil, fmt.Errorf("the mount keeps its open files in layout %#x and this version knows %#x: unmount and mount again",
			m.head.layout, layoutNow)
	}
	return m, nil
}

// lock excludes the other servers of the mount. The kernel releases the lock of a server that dies.
func (m *Memory) lock() (unlock func()) {
	if m.file == nil {
		return func() {}
	}
	set := func(kind int16) {
		for unix.FcntlFlock(m.file.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: kind, Len: 1}) == unix.EINTR {
		}
	}
	set(unix.F_WRLCK)
	return func() { set(unix.F_UNLCK) }
}

// Begin counts one more server of the mount, and returns its number. The caller is that server.
func (m *Memory) Begin() uint64 {
	m.number = m.head.servers.Add(1)
	m.side = int(m.number & 1)
	const most = 100 // ms; a server that has died goes on for ever
	for i := 0; i < most && m.head.freeing.Load() != 0; i++ {
		time.Sleep(time.Millisecond)
	}
	m.head.freeing.Store(0)
	return m.number
}

// whileAlone calls free unless another server works for the mount. The next one begins after that, because it
// may write to pages before anything shows that they are in use.
func (m *Memory) whileAlone(free func()) {
	m.head.freeing.Store(1)
	defer m.head.freeing.Store(0)
	if m.alone.Load() && m.Servers() == m.number {
		free()
	}
}

// Servers is how many servers there have been.
func (m *Memory) Servers() uint64 { return m.head.servers.Load() }
