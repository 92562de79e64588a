package cgroups

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"
)

// Descendants is the number of cgroups below one, as cgroup.stat says (cgroup-v2.rst); 0 if the kernel does not
// tell.
func (h *Hierarchy) Descendants(cgroup uint64) uint64 {
	dir, err := h.Directory(cgroup)
	if err != nil {
		return 0
	}
	defer unix.Close(dir)
	fd, err := OpenFile(dir, "cgroup.stat")
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := Read(fd, buf[:])
	if err != nil {
		return 0
	}
	_, text, _ := bytes.Cut(buf[:n], []byte("nr_descendants "))
	text, _, _ = bytes.Cut(text, []byte("\n"))
	number, _ := strconv.ParseUint(string(text), 10, 32)
	return number
}
