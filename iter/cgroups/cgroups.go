// Package cgroups reads a cgroup hierarchy by the ids of its cgroups.
//
// An id is the inode number of the cgroup's directory. [Hierarchy] opens a directory by its id with
// open_by_handle_at(2) and never walks a path, so a filesystem that mirrors the hierarchy cannot wait for
// itself. It holds one descriptor, of the top directory. A descriptor of any other cgroup is closed at once,
// because an open directory keeps the struct cgroup of a removed one (nr_dying_descendants grows).
//
// Errors wrap the kernel's errno. A cgroup that is gone is unix.ENOENT for [Hierarchy.Stat], [Hierarchy.Path]
// and [Hierarchy.Directory], and unix.ESTALE for [Hierarchy.Child] and [Hierarchy.Children], where
// unix.ENOENT is about the child.
package cgroups

import (
	"errors"
	"fmt"
	"path/filepath"

	"bpfviewfs/internal/errno"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Hierarchy is a cgroup tree: a cgroup2 mount, a cgroup directory inside one, or a cgroup v1 hierarchy. Safe
// for use by many goroutines until Close.
type Hierarchy struct {
	dir  int    // of the top directory; open_by_handle_at takes no O_PATH
	path string // of the top directory, absolute
	root uint64
	v1   bool
}

// Open opens the hierarchy of a source. A source is the path of a cgroup directory (v2 or v1), or one of "",
// "cgroup2", "cgroup" and "none" for the first cgroup2 mount in /proc/self/mountinfo.
//
// Cgroups are opened by their ids with open_by_handle_at(2), which needs CAP_DAC_READ_SEARCH. Without it the
// error wraps unix.EPERM.
func Open(source string) (*Hierarchy, error) {
	switch source {
	case "", "cgroup2", "cgroup", "none":
		mount, err := firstCgroup2()
		if err != nil {
			return nil, err
		}
		source = mount
	}
	return openDirectory(source)
}

func firstCgroup2() (string, error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		found := m.FSType == "cgroup2"
		return !found, found
	})
	if err != nil {
		return "", fmt.Errorf("look for a cgroup2 mount: %w", err)
	}
	if len(mounts) == 0 {
		return "", errno.Errorf(unix.ENODEV,
			"no cgroup2 mount in /proc/self/mountinfo (mount -t cgroup2 cgroup2 /sys/fs/cgroup)")
	}
	return mounts[0].Mountpoint, nil
}

func openDirectory(source string) (*Hierarchy, error) {
	path, err := filepath.Abs(source)
	if err != nil {
		return nil, fmt.Errorf("cgroup directory %q: %w", source, err)
	}
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open cgroup directory %q: %w", source, err)
	}
	h := &Hierarchy{dir: dir}
	if err := h.identify(source); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// identify reads the properties of the descriptor, and tries the one privilege that all else needs.
func (h *Hierarchy) identify(source string) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(h.dir, &fs); err != nil {
		return fmt.Errorf("cgroup directory %q: statfs: %w", source, err)
	}
	switch fs.Type {
	case unix.CGROUP2_SUPER_MAGIC:
	case unix.CGROUP_SUPER_MAGIC:
		h.v1 = true
	default:
		return errno.Errorf(unix.EINVAL,
			"%q is not a cgroup directory: give one, or \"cgroup2\" for the first cgroup2 mount",
			source)
	}
	var st unix.Stat_t
	if err := unix.Fstat(h.dir, &st); err != nil {
		return fmt.Errorf("cgroup directory %q: stat: %w", source, err)
	}
	h.root = st.Ino
	path, err := descriptorPath(h.dir)
	if err != nil {
		return fmt.Errorf("cgroup directory %q: %w", source, err)
	}
	h.path = path
	if _, err := h.Stat(h.root); err != nil {
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("open cgroups of %q by id: run as root, or with CAP_DAC_READ_SEARCH: %w", source, err)
		}
		return fmt.Errorf("open cgroups of %q by id: %w", source, err)
	}
	return nil
}

// Root is the id of the top cgroup.
func (h *Hierarchy) Root() uint64 { return h.root }

// V1 tells whether this is a cgroup v1 hierarchy.
func (h *Hierarchy) V1() bool { return h.v1 }

// String is the path of the top directory.
func (h *Hierarchy) String() string { return h.path }

// Close closes the descriptor. Later calls fail with unix.EBADF.
func (h *Hierarchy) Close() error {
	dir := h.dir
	h.dir = -1
	return unix.Close(dir)
}
