package place

import (
	"errors"
	"fmt"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// Unmount unmounts the bpfviewfs at dir, also one with a dead server. It detaches a busy one. It refuses a
// mount of another type.
func Unmount(dir string) (detached bool, err error) { return takeDown(dir, anyMount) }

func anyMount(*place, Info) bool { return true }

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
	if err != nil {
		return false, refusal("unmount", p.path, err)
	}
	return detached, nil
}

// Remount gives the bpfviewfs at dir other flags, to which Flags are added. may is asked with the path of the
// mount before. MS_BIND limits the call to this one mount (mount(2)), so nothing is asked of the filesystem,
// and it also works if the server is dead.
func Remount(dir string, flags uintptr, may func(path string) error) error {
	p, err := openMounted(dir, anyMount)
	if err != nil {
		return fmt.Errorf("remount: %w", err)
	}
	defer p.close()
	if err := may(p.path); err != nil {
		return err
	}
	if err := unix.Mount("", p.link(), "", unix.MS_REMOUNT|unix.MS_BIND|flags|Flags, ""); err != nil {
		return refusal("remount", p.path, err)
	}
	return nil
}

// refusal returns the kernel's error as one for people.
func refusal(attempt, path string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return exit.With(exit.Usage,
			fmt.Errorf("%s %s: %w: needs root with CAP_SYS_ADMIN", attempt, path, err))
	}
	return fmt.Errorf("%s %s: %w", attempt, path, err)
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
