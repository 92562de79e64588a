package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Unmount takes the mount away from its target with umount2(2), and with MNT_DETACH if it is busy. A detached
// mount is out of reach for new paths. Its open files are served until the last is closed; then Serve
// returns. If there is nothing at the target, or another mount, Unmount does nothing. It does not touch bind
// mounts of the tree.
func (c *Conn) Unmount() error {
	target, err := c.target()
	detached := false
	if err == nil {
		detached, err = takeDown(target, c.ours)
	}
	if notMounted(err) {
		return nil
	}
	if detached {
		c.logf("%s was busy: detached", c.at.Target)
	}
	return err
}

// ours reports whether p is this mount. It compares device numbers, because a mount's id may have
// been given to another mount. So may the device number after the end of the connection; then only a dead
// mount counts.
func (c *Conn) ours(p *place, at Info) bool { return c.numbered(at) && (!c.over() || p.dead()) }

func (c *Conn) numbered(at Info) bool { return at.Major == c.at.Major && at.Minor == c.at.Minor }

// target returns where the mount is now, because mount --move may have moved it. ErrNotMounted means that it
// is gone, any other error that this is not known.
func (c *Conn) target() (string, error) {
	list, err := List()
	if err != nil {
		return "", err
	}
	for _, at := range list {
		if c.numbered(at) && (at.ID == c.at.ID || at.Target == c.at.Target) {
			return at.Target, nil
		}
	}
	return "", ErrNotMounted
}

// notMounted reports whether err means that nothing is mounted, rather than that the answer is unknown.
func notMounted(err error) bool { return errors.Is(err, ErrNotMounted) || errors.Is(err, unix.ENOENT) }

// over reports whether the connection has ended (fuse_dev_poll in fs/fuse/dev.c).
func (c *Conn) over() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fd < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(c.fd)}}
	n, _ := unix.Poll(fds, 0)
	return n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// mounted reports whether the mount is still at its target. If that cannot be found out, it counts as
// mounted.
func (c *Conn) mounted() bool {
	p, err := openMounted(c.at.Target, c.ours)
	if err != nil {
		return !notMounted(err)
	}
	p.close()
	return true
}

// Umount unmounts the bpfviewfs at dir, also one with a dead server. It detaches a busy one and tells logf.
// It refuses a mount of another type.
func Umount(dir string, logf func(format string, args ...any)) error {
	detached, err := takeDown(dir, func(*place, Info) bool { return true })
	if detached {
		logf("%s was busy: detached, it ends when its last file is closed", dir)
	}
	return err
}

// takeDown unmounts the bpfviewfs at dir if meant accepts it. A descriptor on it would make umount2 fail as
// busy, so it is found a second time before it is detached.
func takeDown(dir string, meant func(*place, Info) bool) (detached bool, err error) {
	p, err := openMounted(dir, meant)
	if err != nil {
		return false, err
	}
	p.close()
	err = unix.Unmount(p.path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		p, err = openMounted(p.path, meant)
		if err != nil {
			return false, err
		}
		defer p.close()
		detached, err = true, p.detach()
	}
	switch {
	case err == nil:
		return detached, nil
	case errors.Is(err, unix.EPERM):
		return false, WithCode(ExitUsage, fmt.Errorf("unmount %s: %w: needs root with CAP_SYS_ADMIN", p.path, err))
	}
	return false, fmt.Errorf("unmount %s: %w", p.path, err)
}

func openMounted(dir string, meant func(*place, Info) bool) (*place, error) {
	p, err := openPlace(dir)
	if err != nil {
		return nil, err
	}
	at, err := p.info()
	if err == nil && !meant(p, at) {
		err = fmt.Errorf("%s: another one: %w", p.path, ErrNotMounted)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}
