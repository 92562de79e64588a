package mount

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

// state is memory that outlives the server. The keeper makes it, and every server of the mount maps it.
//
//	page 0       a word that names the layout, the node on trial, how many slots of each region were ever used,
//	             the mount (Info as JSON), the INIT message
//	region 0     slots of one server
//	region 1     slots of another
//
// Two servers live at once during a hand-over, and each reads into a region of its own. The region of a dead
// server is given to the next one, which answers the requests in it.
type state struct {
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

	regionSize = maxSlots * slotSize
	regions    = 2
)

// layout names the layout of the memory, so that a server of another version refuses memory that it cannot
// read.
const layout = 0x62707602

// newState makes memory that can be handed on.
func newState() (*state, error) {
	file, err := memfd("bpfviewfs-requests", regionAt+regions*regionSize)
	if err != nil {
		return nil, err
	}
	s, err := openState(file)
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint64(s.mem[layoutAt:], layout)
	return s, nil
}

// openState maps the memory that newState made, in any process.
func openState(file *os.File) (*state, error) {
	mem, err := unix.Mmap(int(file.Fd()), 0, regionAt+regions*regionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory of requests: %w", err)
	}
	return &state{file, mem}, nil
}

// check returns an error if this version does not know the layout.
func (s *state) check() error {
	if got := binary.NativeEndian.Uint64(s.mem[layoutAt:]); got != layout {
		return fmt.Errorf("the mount keeps its requests in layout %#x and this version knows %#x: unmount and mount again", got, layout)
	}
	return nil
}

func memfd(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, size)
	}
	if err != nil {
		return nil, exit.With(exit.System, fmt.Errorf("make a memfd of %d bytes: %w", size, err))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (s *state) close() {
	unix.Munmap(s.mem)
	s.file.Close()
}

// region returns the slots of one of the two regions: the used ones, and the others, which hold no request.
func (s *state) region(n int) (used, unused []slot) {
	at := regionAt + n*regionSize
	all := newSlots(s.mem[at : at+regionSize])
	mark := min(int(binary.NativeEndian.Uint32(s.mem[usedAt+4*n:])), maxSlots)
	return all[:mark], all[mark:]
}

// first returns the first slot of a region.
func (s *state) first(region int) slot {
	used, unused := s.region(region)
	if len(used) > 0 {
		return used[0]
	}
	s.setUsed(region, 1)
	return unused[0]
}

// setUsed records how many slots of a region were used. Reading one of the others would allocate its page.
func (s *state) setUsed(region, slots int) {
	binary.NativeEndian.PutUint32(s.mem[usedAt+4*region:], uint32(slots))
}

func (s *state) setInfo(at place.Info) error {
	text, err := json.Marshal(at)
	if err == nil && len(text) > initAt-infoAt-4 {
		err = errors.New("the path is too long")
	}
	if err != nil {
		return fmt.Errorf("note where the mount is: %w", err)
	}
	copy(s.mem[infoAt+4:], text)
	binary.NativeEndian.PutUint32(s.mem[infoAt:], uint32(len(text)))
	return nil
}

func (s *state) info() (at place.Info, err error) {
	n := min(binary.NativeEndian.Uint32(s.mem[infoAt:]), initAt-infoAt-4)
	if err := json.Unmarshal(s.mem[infoAt+4:][:n], &at); err != nil {
		return at, fmt.Errorf("where the mount is: %w", err)
	}
	return at, nil
}

// setInit keeps the INIT message. It writes the length, the first word, last, so that no reader finds half a
// message.
func (s *state) setInit(r request) {
	copy(s.mem[initAt+4:regionAt], r[4:])
	copy(s.mem[initAt:], r[:4])
}

// init returns the INIT message, nil if there was none yet.
func (s *state) init() request {
	n := binary.NativeEndian.Uint32(s.mem[initAt:])
	if n < requestHeader || n > regionAt-initAt {
		return nil
	}
	return request(s.mem[initAt:][:n])
}

// trial returns the node of the request that is tried alone (see server.try), 0 if there is none.
func (s *state) trial() uint64        { return binary.NativeEndian.Uint64(s.mem[trialAt:]) }
func (s *state) setTrial(node uint64) { binary.NativeEndian.PutUint64(s.mem[trialAt:], node) }
