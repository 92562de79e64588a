package cgroups

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Find gives the id of a cgroup by its path. That is the path of its directory, or its path below the top
// cgroup with or without a slash in front, as in /proc/PID/cgroup ("/" or "" for the top itself). Neither ..
// nor a symlink leads out; the error then wraps unix.EXDEV. If there is no such cgroup, it wraps unix.ENOENT.
func (h *Hierarchy) Find(path string) (uint64, error) {
	below := strings.TrimLeft(path, "/")
	if path == h.path || strings.HasPrefix(path, strings.TrimRight(h.path, "/")+"/") {
		below = strings.TrimLeft(path[len(h.path):], "/")
	}
	if below == "" {
		below = "."
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(h.dir, below, &how)
	// EAGAIN is a rename while .. was checked.
	for errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		fd, err = unix.Openat2(h.dir, below, &how)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return 0, errno.Errorf(unix.ENOENT, "%q is not a cgroup of %q", path, h.path)
	}
	if err != nil {
		return 0, fmt.Errorf("find cgroup %q in %q: %w", path, h.path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("find cgroup %q in %q: stat: %w", path, h.path, err)
	}
	return st.Ino, nil
}

// Path gives the absolute path of a cgroup's directory, for messages. By the time it is used, the path may
// lead to another cgroup. The error wraps unix.ENOENT if the cgroup is gone.
func (h *Hierarchy) Path(id uint64) (string, error) {
	fd, err := h.Directory(id)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return descriptorPath(fd)
}

// Below is a cgroup's path below the top, without a slash at either end. The top's is "".
func (h *Hierarchy) Below(cgroup uint64) (string, error) {
	if cgroup == h.root {
		return "", nil
	}
	path, err := h.Path(cgroup)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimRight(h.path, "/")), "/"), nil
}

func descriptorPath(fd int) (string, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("path of a descriptor: %w", err)
	}
	return path, nil
}
