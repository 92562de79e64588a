package cgroups

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernfsHandle is struct file_handle as kernfs makes it. It holds eight bytes of type FILEID_KERNFS, the id
// (Linux commit 33c5ac9175195, v5.5). It is built here and not by unix.NewFileHandle, which allocates.
type kernfsHandle struct {
	size uint32
	kind int32
	id   [8]byte
}

const fileidKernfs = 0xfe

// open opens the directory of a cgroup. The caller closes it soon, because an open directory may keep the
// cgroup from being freed. The error wraps unix.ESTALE if the cgroup is gone. The descriptor is never 0,
// because struct bpf_iter_link_info reads 0 as no descriptor.
func (h *Hierarchy) open(id uint64, flags int) (int, error) {
	handle := kernfsHandle{size: 8, kind: fileidKernfs}
	binary.NativeEndian.PutUint64(handle.id[:], id)
	flags |= unix.O_DIRECTORY | unix.O_CLOEXEC
	for {
		fd, _, errno := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(h.dir),
			uintptr(unsafe.Pointer(&handle)), uintptr(flags))
		runtime.KeepAlive(h)
		switch {
		case errno == unix.EINTR:
			continue
		// the id of a file, or a cgroup that was removed while it was opened
		case errno == unix.ENOTDIR || errno == unix.ENOENT:
			return -1, goneError{id, unix.ESTALE}
		case errno == unix.ESTALE:
			return -1, goneError{id, unix.ESTALE}
		case errno != 0:
			return -1, fmt.Errorf("open cgroup %d by its id: %w", id, errno)
		case fd == 0:
			return notZero(int(fd))
		}
		return int(fd), nil
	}
}

// Directory opens the directory of a cgroup with O_PATH. The caller closes it soon, because an open directory
// may keep the cgroup from being freed. It is never 0. The error wraps unix.ENOENT if the cgroup is gone.
func (h *Hierarchy) Directory(id uint64) (int, error) {
	fd, err := h.open(id, unix.O_PATH)
	return fd, asENOENT(err)
}

func notZero(fd int) (int, error) {
	defer unix.Close(fd)
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 1)
	if err != nil {
		return -1, fmt.Errorf("move a descriptor away from 0: %w", err)
	}
	return other, nil
}

// goneError is the error for a removed cgroup. It is made for every lookup there, so fmt would cost too much.
type goneError struct {
	id    uint64
	errno unix.Errno
}

func (e goneError) Error() string { return fmt.Sprintf("cgroup %d is gone: %v", e.id, e.errno) }
func (e goneError) Unwrap() error { return e.errno }

// Gone is an error that says that a cgroup was removed. It wraps unix.ENOENT.
func Gone(id uint64) error { return goneError{id, unix.ENOENT} }

// asENOENT turns the ESTALE of a removed cgroup into the ENOENT that a path would have given.
func asENOENT(err error) error {
	var gone goneError
	if errors.As(err, &gone) {
		gone.errno = unix.ENOENT
		return gone
	}
	return err
}

// Stat gives the attributes of a cgroup's directory; Ino is the id. The error wraps unix.ENOENT if the cgroup
// is gone.
func (h *Hierarchy) Stat(id uint64) (unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := h.Directory(id)
	if err != nil {
		return st, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return st, fmt.Errorf("stat cgroup %d: %w", id, err)
	}
	return st, nil
}

// Child gives the attributes of a child cgroup's directory by its name. The error wraps unix.ENOENT if there
// is none of that name, or only a file, and unix.ESTALE if the cgroup id itself is gone.
func (h *Hierarchy) Child(id uint64, name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return st, noChildError{id, name}
	}
	fd, err := h.open(id, unix.O_PATH)
	if err != nil {
		return st, err
	}
	defer unix.Close(fd)
	err = unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENAMETOOLONG):
		return unix.Stat_t{}, noChildError{id, name}
	case err != nil:
		return unix.Stat_t{}, fmt.Errorf("stat child %q of cgroup %d: %w", name, id, err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return unix.Stat_t{}, noChildError{id, name}
	}
	return st, nil
}

// noChildError is the usual answer to a lookup, so fmt would cost too much.
type noChildError struct {
	id   uint64
	name string
}

func (e noChildError) Error() string {
	return fmt.Sprintf("cgroup %d has no child %q: %v", e.id, e.name, unix.ENOENT)
}
func (e noChildError) Unwrap() error { return unix.ENOENT }
