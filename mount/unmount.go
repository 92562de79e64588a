package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Unmount takes the mount away from its target: umount2(2), and when it is busy with MNT_DETACH. What is detached is
// out of reach for new paths, while open files are served on until the last is closed; then Serve returns. Unmount does
// nothing when there is nothing, or something else, at the target. Bind mounts of the tree are not touched.
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

// ours tells whether what is mounted at p is ours. It goes by the device number: a mount's id may have been given to another.
// So may the number when the connection has ended; then only a dead mount is ours.
func (c *Conn) ours(p *place, at Info) bool { return c.numbered(at) && (!c.over() || p.dead()) }

func (c *Conn) numbered(at Info) bool { return at.Major == c.at.Major && at.Minor == c.at.Minor }

// target is where our mount is by now: mount --move may have taken it elsewhere. ErrNotMounted means that there is none any
// more, and any other error that this is not known.
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

// notMounted reports whether err says that nothing is mounted, and not that the answer is unknown.
func notMounted(err error) bool { return errors.Is(err, ErrNotMounted) || errors.Is(err, unix.ENOENT) }

// over tells whether the connection has ended (fuse_dev_poll in fs/fuse/dev.c).
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

// mounted reports whether our mount is still at its target. It is taken to be there if that cannot be found out.
func (c *Conn) mounted() bool {
	p, err := openMounted(c.at.Target, c.ours)
	if err != nil {
		return !notMounted(err)
	}
	p.close()
	return true
}

// Umount unmounts the bpfviewfs at dir, whichever process serves it, also a dead one; a busy one is detached, which
// logf is told. It refuses a mount of another type.
func Umount(dir string, logf func(format string, args ...any)) error {
	detached, err := takeDown(dir, func(*place, Info) bool { return true })
	if detached {
		logf("%s was busy: detached, it ends when its last file is closed", dir)
	}
	return err
}

// takeDown unmounts the bpfviewfs at dir, if it is the one that is meant. It must not be held while umount2 is told to
// fail if it is busy, so it is found a second time before it is detached.
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
