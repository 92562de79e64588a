package fs

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// memory is what outlives the server: a file that the next server gets too. Two servers may use it at once, while one
// takes over from the other. Without a file, the process's own memory stands in, and ends with it.
//
//	header     layout, the last handle given out, how many servers there were, the highest record used
//	names      of views, by number: a node id must not come to mean another view
//	records    one for every open file
//	bytes      of the runs that open files hold, four places for every record
//
// The places are far apart in a file that is mostly holes, so nothing has to be allocated.
type memory struct {
	file    *os.File // nil: none
	head    *memoryHeader
	names   []byte
	records *[maxRecords]record
	side    int // which two of the four places of a record this server writes to

	mu   sync.Mutex
	free []uint32 // records; some may have been taken by another server
}

type memoryHeader struct {
	layout  uint64
	handles atomic.Uint64 // the last sequence number of a handle
	servers atomic.Uint64 // how many there were
	records atomic.Uint64 // no record above has been used
}

// record is what must be known about an open file when its server has died. It is complete when it has a handle.
type record struct {
	opener atomic.Uint64 // asked for it by OPEN, see requester; 0 when the record is free
	handle atomic.Uint64
	node   atomic.Uint64
	uid    atomic.Uint64
	first  atomic.Uint64 // the READ that first read the run's beginning, see requester; 0 before
	run    atomic.Uint64 // see runWord; 0 when the bytes are not kept
	_      [2]uint64
}

// requester names a request for good: the kernel gives every one another number, an even one.
func requester(h *fuse.InHeader) uint64 { return h.Unique | 1 }

// begins tells whether the READ is the first of the held run's first byte, or that one once more: a server may have died
// before it could answer it.
func (r *record) begins(h *fuse.InHeader) bool {
	return r.first.CompareAndSwap(0, requester(h)) || r.first.Load() == requester(h)
}

const (
	memoryLayout = 0x62707601

	maxRecords  = 1 << recordBits
	recordBits  = 16
	nameSize    = 256
	namesAt     = 4096
	recordsAt   = namesAt + (maxNumber+1)*nameSize
	memorySize  = recordsAt + maxRecords*64
	bytesAt     = 1 << 30
	placeBits   = 28
	places      = 4
	largestKept = 1 << placeBits // bytes of a run
)

// A place up to this size keeps its pages for the next run, in the few records that are used most.
const (
	keepPlace   = 32 << 10
	keepRecords = 128
)

// openMemory takes up what earlier servers left in file.
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
	m.names = mem[namesAt:recordsAt]
	m.records = (*[maxRecords]record)(unsafe.Pointer(&mem[recordsAt]))
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

// handle gives out a number that no other handle of this mount ever had. Its low bits are the record's index.
func (m *memory) handle(index uint32) uint64 {
	return m.head.handles.Add(1)<<recordBits | uint64(index)
}

// take finds a record for a new handle; nil when too many are open.
func (m *memory) take(h *fuse.InHeader) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	for fresh := false; ; fresh = true {
		for len(m.free) > 0 {
			r := &m.records[m.free[len(m.free)-1]]
			m.free = m.free[:len(m.free)-1]
			if r.opener.CompareAndSwap(0, requester(h)) {
				return r
			}
		}
		if fresh {
			return nil
		}
		for index := uint32(maxRecords - 1); index > 0; index-- { // 0 is nobody's: handles of directories name it
			if m.records[index].opener.Load() == 0 {
				m.free = append(m.free, index)
			}
		}
	}
}

func (m *memory) index(r *record) uint32 {
	return uint32((uintptr(unsafe.Pointer(r)) - uintptr(unsafe.Pointer(m.records))) / unsafe.Sizeof(*r))
}

// open completes a record, which has the bytes already.
func (m *memory) open(r *record, fh uint64, h *fuse.InHeader) {
	index := uint64(m.index(r))
	for high := m.head.records.Load(); index > high; high = m.head.records.Load() {
		m.head.records.CompareAndSwap(high, index)
	}
	r.node.Store(h.NodeId)
	r.uid.Store(uint64(h.Uid))
	r.handle.Store(fh)
}

// find gives the record of a handle that this mount gave out and that is still open.
func (m *memory) find(fh uint64) *record {
	index := fh & (maxRecords - 1)
	if r := &m.records[index]; index != 0 && r.handle.Load() == fh {
		return r
	}
	return nil
}

// drop frees a record. The handle goes last but one: a RELEASE that is asked for twice, as its server died, finds it again.
func (m *memory) drop(r *record) {
	index := m.index(r)
	if word := runWord(r.run.Load()); m.file != nil && word != 0 {
		if index >= keepRecords || word.size() > keepPlace {
			m.punch(index, 0, places)
		}
	}
	for _, word := range []*atomic.Uint64{&r.run, &r.first, &r.uid, &r.node, &r.handle, &r.opener} {
		word.Store(0)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, index)
}

// punch gives the pages of some places back.
func (m *memory) punch(index uint32, place, count int) {
	_ = unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, placeAt(index, place),
		int64(count)*largestKept)
}

// runWord says in one word, and so at one moment, which run an open file holds: a number that changes with each run,
// the run's size, and in which of the record's places its bytes are.
//
//	[number 33][size 29][place 2]
type runWord uint64

const (
	runNumberAt = placeBits + 3
	runSizeAt   = 2
)

func (w runWord) place() int     { return int(w % places) }
func (w runWord) size() uint64   { return uint64(w >> runSizeAt & (1<<(placeBits+1) - 1)) }
func (w runWord) number() uint64 { return uint64(w >> runNumberAt) }

func placeAt(index uint32, place int) int64 {
	return bytesAt + (int64(index)*places+int64(place))<<placeBits
}

// keep puts a run's bytes beside those of the one before, and then, at once, in its place. Another server that works on
// the same open file writes elsewhere. It gives false when the record is not the handle's any more.
func (m *memory) keep(r *record, fh uint64, data []byte) (next runWord, kept bool) {
	for {
		old := runWord(r.run.Load())
		if r.handle.Load() != fh {
			return 0, false
		}
		next = m.put(r, old, data)
		if !r.run.CompareAndSwap(uint64(old), uint64(next)) {
			continue // another server's run, or another file's
		}
		if old.size() > keepPlace {
			m.punch(m.index(r), old.place(), 1)
		}
		return next, true
	}
}

// put writes a run's bytes to where those of the run before are not.
func (m *memory) put(r *record, old runWord, data []byte) runWord {
	if m.file == nil || len(data) > largestKept {
		return 0
	}
	place := m.side * 2
	if old.place() == place {
		place++
	}
	if _, err := m.file.WriteAt(data, placeAt(m.index(r), place)); err != nil {
		return 0 // for want of memory: this reader has its bytes all the same
	}
	return runWord((old.number()+1)<<runNumberAt | uint64(len(data))<<runSizeAt | uint64(place))
}

// load appends the bytes of the run that the record tells of to dst. It gives false when they are not there.
func (m *memory) load(r *record, dst []byte) ([]byte, runWord, bool) {
	for {
		word := runWord(r.run.Load())
		if m.file == nil || word == 0 {
			return dst, 0, false
		}
		size := int(word.size())
		data := append(dst, make([]byte, size)...)
		index := m.index(r)
		_, err := m.file.ReadAt(data[len(dst):], placeAt(index, word.place()))
		// Runs later the place is used again.
		if runWord(r.run.Load()) == word {
			return data, word, err == nil
		}
	}
}

// number gives a view's name a number, the same in all servers of the mount; false when there are too many names.
func (m *memory) number(name string) (int, bool) {
	defer m.lock()()
	for n := 0; n <= maxNumber; n++ {
		cell := m.names[n*nameSize:][:nameSize]
		if cell[0] == 0 {
			copy(cell[1:], name)
			cell[0] = byte(len(name)) // last: a name is there or not
			return n, true
		}
		if string(cell[1:1+int(cell[0])]) == name {
			return n, true
		}
	}
	return 0, false
}

// lock keeps the servers of the mount from each other. The kernel takes the lock away from one that dies.
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
