package handoff

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

// Memory is memory that outlives the server. The keeper makes it, and every server of the mount maps it.
//
//	page 0       a word that names the layout, the node on trial, how many slots of each region were ever used,
//	             the mount (Info as JSON), the INIT message
//	region 0     slots of one server
//	region 1     slots of another
//
// Two servers live at once during a hand-over, and each reads into a region of its own. The region of a dead
// server is given to the next one, which answers the requests in it.
type Memory struct {
	file *os.File
	mem  []byte
}

// Offsets in page 0.
const (
	layoutAt = 0
	trialAt  = 8
	usedAt   = 16
	infoAt   = 24
	initAt   = 2048
	regionAt = 4096

	regionSize = MaxSlots * SlotSize
)

// Regions is how many servers may read requests at once.
const Regions = 2

// layout names the layout of the memory, so that a server of another version refuses memory that it cannot
// read.
const layout = 0x62707602

// NewMemory makes memory that can be handed on.
func NewMemory() (*Memory, error) {
	file, err := Memfd("bpfviewfs-requests", regionAt+Regions*regionSize)
	if err != nil {
		return nil, err
	}
	m, err := Open(file)
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint64(m.mem[layoutAt:], layout)
	return m, nil
}

// Open maps the memory that NewMemory made, in any process.
func Open(file *os.File) (*Memory, error) {
	mem, err := unix.Mmap(int(file.Fd()), 0, regionAt+Regions*regionSize,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory of requests: %w", err)
	}
	return &Memory{file, mem}, nil
}

// Check returns an error if this version does not know the layout.
func (m *Memory) Check() error {
	if got := binary.NativeEndian.Uint64(m.mem[layoutAt:]); got != layout {
		return fmt.Errorf("the mount keeps its requests in layout %#x and this version knows %#x: "+
			"unmount and mount again", got, layout)
	}
	return nil
}

// Memfd makes a file in memory that can be handed on.
func Memfd(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, size)
	}
	if err != nil {
		return nil, exit.With(exit.System, fmt.Errorf("make a memfd of %d bytes: %w", size, err))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// File returns the memory as a file, for a process that inherits it.
func (m *Memory) File() *os.File { return m.file }

// Unmap gives the memory back and leaves its file open.
func (m *Memory) Unmap() { unix.Munmap(m.mem) }

// Close gives both back.
func (m *Memory) Close() {
	m.Unmap()
	m.file.Close()
}

// Claim gives a region to a server. It returns the slots of it that were ever used, and a pool of the others.
func (m *Memory) Claim(region int) (used []Slot, pool Pool) {
	used, unused := m.Region(region)
	return used, Pool{memory: m, region: region, unused: unused}
}

// Region returns the slots of one of the two regions: the used ones, and the others, which hold no request.
func (m *Memory) Region(n int) (used, unused []Slot) {
	at := regionAt + n*regionSize
	all := newSlots(m.mem[at : at+regionSize])
	mark := min(int(binary.NativeEndian.Uint32(m.mem[usedAt+4*n:])), MaxSlots)
	return all[:mark], all[mark:]
}

// Decide is [Request.Decide] for a request that a server has in work. It returns false if there is none.
func (m *Memory) Decide(unique uint64) bool {
	for n := range Regions {
		used, _ := m.Region(n)
		for _, slot := range used {
			if r := slot.Left(); r != nil && r.Decide(unique) {
				return true
			}
		}
	}
	return false
}

// First returns the first slot of a region.
func (m *Memory) First(region int) Slot {
	used, unused := m.Region(region)
	if len(used) > 0 {
		return used[0]
	}
	m.setUsed(region, 1)
	return unused[0]
}

// setUsed records how many slots of a region were used. Reading one of the others would allocate its page.
func (m *Memory) setUsed(region, slots int) {
	binary.NativeEndian.PutUint32(m.mem[usedAt+4*region:], uint32(slots))
}

// SetInfo notes where the mount is.
func (m *Memory) SetInfo(at place.Info) error {
	text, err := json.Marshal(at)
	if err == nil && len(text) > initAt-infoAt-4 {
		err = errors.New("the path is too long")
	}
	if err != nil {
		return fmt.Errorf("note where the mount is: %w", err)
	}
	copy(m.mem[infoAt+4:], text)
	binary.NativeEndian.PutUint32(m.mem[infoAt:], uint32(len(text)))
	return nil
}

// Info returns where the mount is.
func (m *Memory) Info() (at place.Info, err error) {
	n := min(binary.NativeEndian.Uint32(m.mem[infoAt:]), initAt-infoAt-4)
	if err := json.Unmarshal(m.mem[infoAt+4:][:n], &at); err != nil {
		return at, fmt.Errorf("where the mount is: %w", err)
	}
	return at, nil
}

// SetInit keeps the INIT message. It writes the length, the first word, last, so that no reader finds half a
// message.
func (m *Memory) SetInit(r Request) {
	copy(m.mem[initAt+4:regionAt], r[4:])
	copy(m.mem[initAt:], r[:4])
}

// Init returns the INIT message, nil if there was none yet.
func (m *Memory) Init() Request {
	n := binary.NativeEndian.Uint32(m.mem[initAt:])
	if n < RequestHeader || n > regionAt-initAt {
		return nil
	}
	return Request(m.mem[initAt:][:n])
}

// Trial returns the node of the request that is tried alone, 0 if there is none.
func (m *Memory) Trial() uint64 { return binary.NativeEndian.Uint64(m.mem[trialAt:]) }

// SetTrial notes that node, 0 at the end of the trial.
func (m *Memory) SetTrial(node uint64) { binary.NativeEndian.PutUint64(m.mem[trialAt:], node) }
