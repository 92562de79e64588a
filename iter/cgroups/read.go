package cgroups

import "golang.org/x/sys/unix"

// Read is read(2), made again if a signal interrupts it.
func Read(fd int, buf []byte) (n int, err error) {
	for {
		if n, err = unix.Read(fd, buf); err != unix.EINTR {
			return n, err
		}
	}
}
