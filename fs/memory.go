package fs

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// memory outlives the server: it is a file that the next server gets, too. Two servers may use it at once
// during a hand-over. Without a file, the process's own memory takes its place, and ends with it.
//
//	header     layout, the last handle given out, how many servers there were, the highest record used
//	names      of views, by number: a node id must not come to mean another view
//	records    one for every open file
//	unions     names of unions, by number
//	bytes      of the runs that open files hold, four places for every record
//
// The places are far apart in a sparse file, so nothing has to be allocated.
type memory struct {
	file    *os.File // nil: none
	head    *memoryHeader
	names   *[maxViews]name
	unions  *[maxViews]name
	records *[maxRecords]record
	side    int // 0 or 1: the two of a record's four places that this server writes to

	mu   sync.Mutex
	free []uint32 // records; some may have been taken by another server
}

type memoryHeader struct {
	layout  uint64
	handles atomic.Uint64 // the last sequence number of a handle
	servers atomic.Uint64 // how many there were
	records atomic.Uint64 // no record above has been used
	lists   uint64        // of views that there were; under lock
	unions  uint64        // how often one was looked up; under lock
}

const (
	memoryLayout = 0x62707603

	maxViews    = 512
	maxRecords  = 1 << recordBits
	recordBits  = 16
	namesAt     = 4096
	recordsAt   = namesAt + maxViews*int(unsafe.Sizeof(name{}))
	unionsAt    = recordsAt + maxRecords*64 // all zeros in the memory of a server without unions
	memorySize  = unionsAt + maxViews*int(unsafe.Sizeof(name{}))
	bytesAt     = 1 << 30
	placeBits   = 28
	places      = 4
	largestKept = 1 << placeBits // bytes of a run
)

// openMemory takes up the state of earlier servers in file.
func openMemory(file *os.File) (*memory, error) {
	m := &memory{file: file}
	var mem []byte
	if file == nil {
		mem = make([]byte, memorySize)
	} else {
		var err error
		if err = unix.Ftruncate(int(file.Fd()), bytesAt+maxRecords*places*largestKept); err == nil {
			mem, err = unix.Mmap(int(file.Fd()), 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
		if err != nil {
			return nil, fmt.Errorf("map the memory of open files: %w", err)
		}
	}
	m.head = (*memoryHeader)(unsafe.Pointer(&mem[0]))
	m.names = (*[maxViews]name)(unsafe.Pointer(&mem[namesAt]))
	m.records = (*[maxRecords]record)(unsafe.Pointer(&mem[recordsAt]))
	m.unions = (*[maxViews]name)(unsafe.Pointer(&mem[unionsAt]))
	switch m.head.layout {
	case 0:
		m.head.layout = memoryLayout
	case memoryLayout:
	default:
		return nil, fmt.Errorf("the mount keeps its open files in layout %#x and this version knows %#x: unmount and mount again",
			m.head.layout, memoryLayout)
	}
	return m, nil
}

// lock excludes the other servers of the mount. The kernel releases the lock of a server that dies.
func (m *memory) lock() (unlock func()) {
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
