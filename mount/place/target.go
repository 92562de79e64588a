package place

import (
	"errors"
	"fmt"
	"os"
	"time"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// prepare returns the absolute path of dir, a directory without a bpfviewfs on it. It reads mountinfo before
// it touches the path: a stat on a dead mount fails, and one on a mount with a hanging server never returns.
func prepare(dir string) (string, error) {
	p, err := openPlace(dir)
	if errors.Is(err, unix.ENOENT) {
		return "", fmt.Errorf("mount on %s: %w: create the directory first", dir, err)
	}
	if err != nil {
		return "", err
	}
	path := p.path
	p.close()
	if path == "/" {
		return "", exit.With(exit.Usage,
			errors.New("mount on /: this would hide everything, choose another directory"))
	}
	if err := clearDead(path); err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", fmt.Errorf("mount on %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return "", fmt.Errorf("mount on %s: %w", path, unix.ENOTDIR)
	}
	return path, nil
}

// clearDead detaches dead bpfviewfs mounts from the top of path. A live one is an error.
func clearDead(path string) error {
	for {
		p, err := openPlace(path)
		if err != nil {
			return err
		}
		defer p.close()
		_, err = p.info()
		switch {
		case errors.Is(err, ErrNotMounted):
			return nil
		case err != nil:
			return err
		case !p.dead():
			return fmt.Errorf("mount on %s: a %s is mounted there already, see: findmnt -t %[2]s", path, Type)
		}
		// EINVAL means that another process was quicker.
		if err := p.detach(); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("detach the dead mount at %s: %w", path, err)
		}
	}
}

// dead reports whether a mount's server has gone. A slow server is not dead. STATFS is never answered from a
// cache; attributes may be.
func (p *place) dead() bool {
	answer := make(chan error, 1)
	path := p.link()
	go func() {
		var st unix.Statfs_t
		answer <- unix.Statfs(path, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-time.After(5 * time.Second):
		return false
	}
}

// lockTarget keeps other processes from mounting a bpfviewfs on path until the file is closed. It locks the
// directory below, so that no mount's server is asked.
func lockTarget(path string) (*os.File, error) {
	p, err := openPlace(path)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if _, err := p.info(); err == nil {
		return nil, busy(path)
	} else if !errors.Is(err, ErrNotMounted) {
		return nil, err
	}
	dir, err := os.Open(p.link())
	if err != nil {
		return nil, fmt.Errorf("mount on %s: %w", path, err)
	}
	if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		err = clearDead(path)
	} else if errors.Is(err, unix.EWOULDBLOCK) {
		err = busy(path)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// settle finds the mount that was just made.
func settle(target string) (Info, error) {
	list, err := List()
	if err != nil {
		return Info{}, err
	}
	var at []Info
	for _, m := range list {
		if m.Target == target {
			at = append(at, m)
		}
	}
	if len(at) != 1 {
		return Info{}, busy(target)
	}
	return at[0], nil
}

func busy(target string) error {
	return fmt.Errorf("mount on %s: mounted or unmounted by another process at the same time, try again",
		target)
}
