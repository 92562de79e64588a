package fs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// errno is the one place where an error becomes what the kernel is told. It unwraps (fuse.ToStatus does not, and calls
// everything it does not know ENOSYS) and never answers ENOSYS, which the kernel takes to mean "do not ask again".
func errno(err error) fuse.Status {
	if err == nil {
		return fuse.OK // before anything is allocated
	}
	var no syscall.Errno
	switch {
	case errors.Is(err, context.Canceled):
		return fuse.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return fuse.Status(unix.ETIMEDOUT)
	case !errors.As(err, &no), no == 0, no == unix.ENOSYS:
		return fuse.EIO
	}
	return fuse.Status(no)
}

// isGone tells that the cgroup does not exist any more from every other error.
func isGone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// isStale tells that the directory that was asked is gone, where ENOENT means that it has no such child.
func isStale(err error) bool { return errors.Is(err, unix.ESTALE) }

// oneLine keeps a message that quotes foreign text from taking several lines.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
