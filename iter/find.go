package iter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Find gives the id of a cgroup by its path: relative to the top cgroup ("system.slice/ssh.service", "" or "." for
// the top itself), or the absolute path of a cgroup directory at or below the top directory. Neither .. nor a
// symlink leads out: the error then wraps unix.EXDEV, and unix.ENOENT if there is no such cgroup.
func (h *Hierarchy) Find(path string) (uint64, error) {
	below := path
	if filepath.IsAbs(path) {
		var err error
		below, err = filepath.Rel(h.path, filepath.Clean(path))
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return 0, fmt.Errorf("%q is not below the cgroup directory %q: %w", path, h.path, unix.EXDEV)
		}
	}
	if below == "" {
		below = "."
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := unix.Openat2(h.dir, below, &how)
	for errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) { // EAGAIN: a rename while .. was checked
		fd, err = unix.Openat2(h.dir, below, &how)
	}
	if errors.Is(err, unix.ENOTDIR) {
		return 0, fmt.Errorf("%q is not a cgroup of %q: %w", path, h.path, unix.ENOENT)
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

// Path gives the absolute path of a cgroup's directory, for messages: it may be another cgroup's by the time it is
// used. The error wraps unix.ENOENT if the cgroup is gone.
func (h *Hierarchy) Path(id uint64) (string, error) {
	fd, err := h.open(id, unix.O_PATH)
	if err != nil {
		return "", asENOENT(err)
	}
	defer unix.Close(fd)
	return descriptorPath(fd)
}

func descriptorPath(fd int) (string, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("path of a descriptor: %w", err)
	}
	return path, nil
}
