package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Check finds out, without mounting, what would keep Mount from mounting on target: not being root, no /dev/fuse, no
// directory, a live mount there. A dead mount of ours is detached. Errors are as Mount's.
func Check(target string) error {
	if uid := os.Geteuid(); uid != 0 {
		return WithCode(ExitUsage, fmt.Errorf("mount %s: must be root, this is uid %d", target, uid))
	}
	if _, err := prepare(target); err != nil {
		return err
	}
	fd, err := openDevice()
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
