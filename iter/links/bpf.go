package links

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is bpf(2).
func call(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// objectInfo is BPF_OBJ_GET_INFO_BY_FD.
func objectInfo(fd int, info unsafe.Pointer, size int) error {
	attr := struct {
		fd, size uint32
		info     unsafe.Pointer
	}{uint32(fd), uint32(size), info}
	_, err := call(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}
