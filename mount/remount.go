package mount

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Remount gives the bpfviewfs at o.Target the mount flags of o; only the atime family can differ. The own
// options of o must be among those of the mount, because mount(8) repeats fstab. Nothing is asked of the
// filesystem: MS_BIND limits the call to this one mount (mount(2)). So it also works if the server is dead.
func Remount(o Options) error {
	p, err := openMounted(o.Target, func(*place, Info) bool { return true })
	if err != nil {
		return fmt.Errorf("remount: %w", err)
	}
	defer p.close()
	if err := o.unchanged(p.path); err != nil {
		return err
	}
	err = unix.Mount("", p.link(), "", unix.MS_REMOUNT|unix.MS_BIND|o.Flags|always, "")
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return WithCode(ExitUsage, fmt.Errorf("remount %s: %w: needs root with CAP_SYS_ADMIN", p.path, err))
	}
	return fmt.Errorf("remount %s: %w", p.path, err)
}

// unchanged returns an error if the mount at dir was made without an own option in o.
func (o Options) unchanged(dir string) error {
	words := o.own()
	if len(words) == 0 {
		return nil
	}
	var has []string
	line, err := askKeeper(dir, wordOptions)
	if err == nil {
		err = json.Unmarshal([]byte(line), &has)
	}
	if err != nil {
		return fmt.Errorf("remount with options %s: whether the mount has them is not known: %w", strings.Join(words, ","), err)
	}
	for _, word := range words {
		if !slices.Contains(has, word) {
			return fmt.Errorf("option %s: a remount cannot change it: unmount, and mount with it", word)
		}
	}
	return nil
}
