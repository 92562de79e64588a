package fs

import (
	"context"
	"errors"
	"syscall"

	"bpfviewfs/internal/plain"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// errno is the one place where an error becomes the kernel's errno. It unwraps; fuse.ToStatus does not, and
// turns every unknown error into ENOSYS. It never returns ENOSYS, because the kernel then does not ask again.
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

// isGone reports whether the error means that the cgroup no longer exists.
func isGone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) }

// isStale reports whether the directory itself is gone. ENOENT only means that it has no such child.
func isStale(err error) bool { return errors.Is(err, unix.ESTALE) }

// oneLine puts a message on one line that cannot act on a terminal, because it may quote foreign text.
func oneLine(s string) string { return plain.Line(s) }
