// Package place finds mounts of bpfviewfs, makes them, and takes them away. A mount is known again by its
// device number. A path could meanwhile lead to another mount, or to a dead one on which stat(2) fails or
// hangs.
//
// # Arguments of mount(2)
//
// The source is passed exactly as given, so that mount(8) finds an fstab line again. The type is
// fuse.bpfviewfs. The flags are ro, nosuid, nodev and noexec whatever the options say. The data is a
// /dev/fuse descriptor, allow_other and default_permissions: every user gets in, and the kernel checks each
// caller against the owners and modes that the filesystem states. There is no fusermount and no /etc/mtab.
// /proc/mounts does not show bpfviewfs's own options.
package place

import (
	"fmt"
	"os"
	"strings"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// place is a path with its mount, held by an O_PATH descriptor. Opening one asks nothing of the filesystem
// that the last component lies on. It therefore works at once on a dead mount and on one with a server that
// hangs. Without O_DIRECTORY it triggers no automount. Another mount put on the path, or taken away, does not
// change it.
type place struct {
	fd    int
	path  string // absolute, without symbolic links
	mount int    // id of the mount
}

// openPlace finds the place that dir leads to. For a mount that was just detached, the kernel tells a path
// that begins at that mount's own root and would lead elsewhere. So openPlace tries the way back.
func openPlace(dir string) (*place, error) {
	for range 100 {
		p, err := tryPlace(dir)
		if err != nil {
			return nil, err
		}
		back, err := tryPlace(p.path)
		if err == nil {
			back.close()
			if back.mount == p.mount {
				return p, nil
			}
		}
		p.close()
	}
	return nil, fmt.Errorf("open %q: the mount there keeps changing", dir)
}

func tryPlace(dir string) (*place, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", dir, err)
	}
	p := &place{fd: fd}
	p.path, err = os.Readlink(p.link())
	if err == nil {
		p.mount, err = p.mountID()
	}
	if err != nil {
		p.close()
		return nil, exit.With(exit.System, fmt.Errorf("resolve %q through /proc: %w", dir, err))
	}
	return p, nil
}

func (p *place) close() { unix.Close(p.fd) }

// link returns a path that leads to this very mount.
func (p *place) link() string { return fmt.Sprintf("/proc/self/fd/%d", p.fd) }

// mountID reads the id from fdinfo, see proc_pid_fdinfo(5). statx(2) could ask the filesystem.
func (p *place) mountID() (id int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", p.fd))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "mnt_id:")
	_, err = fmt.Sscan(rest, &id)
	return id, err
}

// info returns the bpfviewfs mounted at this place.
func (p *place) info() (Info, error) {
	list, err := List()
	if err != nil {
		return Info{}, err
	}
	for _, at := range list {
		if at.ID == p.mount && at.Target == p.path {
			return at, nil
		}
	}
	return Info{}, fmt.Errorf("%s: %w", p.path, ErrNotMounted)
}

// detach takes this mount away, and no other that may be there by now.
func (p *place) detach() error { return unix.Unmount(p.link(), unix.MNT_DETACH) }
