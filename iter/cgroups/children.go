package cgroups

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"unsafe"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// direntBuffers hold the result of one getdents64 call, some 2,000 short names.
var direntBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// Children calls add for every child cgroup, in no particular order, without looking at the children
// themselves. A child that comes or goes meanwhile may be there or not; every other is there once. The error
// wraps unix.ESTALE if the cgroup id itself is gone.
func (h *Hierarchy) Children(id uint64, add func(id uint64, name string)) error {
	fd, err := h.open(id, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := direntBuffers.Get().(*[64 << 10]byte)
	defer direntBuffers.Put(buf)
	for {
		n, err := unix.Getdents(fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ENOENT: // removed after it was opened
			return goneError{id, unix.ESTALE}
		case err != nil:
			return fmt.Errorf("list cgroup %d: %w", id, err)
		case n == 0:
			return nil
		}
		if err := directories(buf[:n], add); err != nil {
			return fmt.Errorf("list cgroup %d: %w", id, err)
		}
	}
}

// directories calls add for the directories among the struct linux_dirent64 in buf (getdents64(2)). The
// standard library's parsers leave d_ino and d_type out, which here save a stat each.
func directories(buf []byte, add func(id uint64, name string)) error {
	const (
		reclen = unsafe.Offsetof(unix.Dirent{}.Reclen)
		kind   = unsafe.Offsetof(unix.Dirent{}.Type)
		name   = unsafe.Offsetof(unix.Dirent{}.Name)
	)
	for len(buf) > 0 {
		if len(buf) < int(name) {
			return errno.Errorf(unix.EIO, "directory entry of %d bytes", len(buf))
		}
		size := int(binary.NativeEndian.Uint16(buf[reclen:]))
		if size <= int(name) || size > len(buf) {
			return errno.Errorf(unix.EIO, "directory entry says it has %d bytes of %d",
				size, len(buf))
		}
		entry := buf[:size]
		buf = buf[size:]
		if entry[kind] != unix.DT_DIR {
			continue
		}
		raw, _, _ := bytes.Cut(entry[name:], []byte{0})
		if n := string(raw); n != "." && n != ".." {
			add(binary.NativeEndian.Uint64(entry), n)
		}
	}
	return nil
}
