package cgroups

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// OpenFile opens a file in the directory that is open as dir.
func OpenFile(dir int, name string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			return fd, nil
		}
		if err != unix.EINTR {
			return -1, fmt.Errorf("open %s: %w", name, err)
		}
	}
}
