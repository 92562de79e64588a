package mount

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Remount gives the bpfviewfs at o.Target the mount flags of o, of which only the atime family can differ. It asks nothing
// of the filesystem: MS_BIND limits it to this one mount, see mount(2). So it also works on one whose server is dead.
func Remount(o Options) error {
	p, err := openMounted(o.Target, func(Info) bool { return true })
	if err != nil {
		return fmt.Errorf("remount: %w", err)
	}
	defer p.close()
	err = unix.Mount("", p.link(), "", unix.MS_REMOUNT|unix.MS_BIND|o.Flags|always, "")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return WithCode(ExitUsage, fmt.Errorf("remount %s: %w: needs root with CAP_SYS_ADMIN", p.path, err))
	}
	return fmt.Errorf("remount %s: %w", p.path, err)
}
