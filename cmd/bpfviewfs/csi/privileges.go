package csi

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// GiveUp leaves the process no capability but CAP_SYS_ADMIN, for mounts. It cannot get one back, because it
// starts no other program. The error is ENOTSUP in a build with cgo.
func GiveUp() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	data[0] = unix.CapUserData{
		Effective: data[0].Effective & (1 << unix.CAP_SYS_ADMIN),
		Permitted: data[0].Permitted & (1 << unix.CAP_SYS_ADMIN),
	}
	data[1] = unix.CapUserData{}
	// Capabilities are a thread's.
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)),
		uintptr(unsafe.Pointer(&data)), 0)
	if errno != 0 {
		return fmt.Errorf("give up capabilities: %w", errno)
	}
	return nil
}
