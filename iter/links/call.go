package links

import (
	"os"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Caller calls a program that VIEW_CALL of bpf/include/call.h makes, with a link that it holds. The link is
// one to the first thread of this process, so it holds nothing of a cgroup.
type Caller struct{ link int }

// NewCaller links the program. The error is EOPNOTSUPP on a machine whose system calls call.h does not know.
func NewCaller(p *ebpf.Program) (*Caller, error) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return nil, unix.EOPNOTSUPP
	}
	link, err := Create(p, Thread(uint32(os.Getpid())))
	if err != nil {
		return nil, err
	}
	return &Caller{link}, nil
}

// Call runs the program with a cgroup's id, or on cgroup v1 with a descriptor of its directory, and reads the
// first of its output into buf. There is none if the cgroup is gone. If buf is full, the rest can be read from
// the descriptor. The caller closes it.
func (c *Caller) Call(argument uint64, buf []byte) (fd, n int, err error) {
	if fd, err = Iterate(c.link); err != nil {
		return -1, 0, err
	}
	read, _, errno := unix.Syscall6(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])),
		uintptr(len(buf)), uintptr(argument), 0, 0)
	if errno != 0 {
		unix.Close(fd)
		return -1, 0, errno
	}
	return fd, int(read), nil
}

// Close unlinks the program. A nil Caller has none.
func (c *Caller) Close() error {
	if c == nil {
		return nil
	}
	return unix.Close(c.link)
}
