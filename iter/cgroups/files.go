package cgroups

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Controllers are those enabled in a cgroup: cgroup.controllers (cgroup-v2.rst).
func (h *Hierarchy) Controllers(cgroup uint64) ([]string, error) {
	dir, err := h.Directory(cgroup)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := OpenFile(dir, "cgroup.controllers")
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var buf [1024]byte // there are some 15 controllers
	n, err := unix.Read(fd, buf[:])
	if err == unix.ENODEV {
		return nil, Gone(cgroup)
	}
	if err != nil {
		return nil, fmt.Errorf("read cgroup.controllers: %w", err)
	}
	return strings.Fields(string(bytes.TrimSpace(buf[:n]))), nil
}

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
