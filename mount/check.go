package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Check finds out, without mounting, what would keep Mount from mounting on target: not being root, no /dev/fuse, no
// directory, a live mount there. A dead mount of ours is detached. Errors are as Mount's.
func Check(target string) error {
	_, fd, err := begin(target)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// begin is all of Mount that comes before mount(2): it gives the target's absolute path and a /dev/fuse descriptor.
func begin(target string) (path string, fd int, err error) {
	if uid := os.Geteuid(); uid != 0 {
		return "", -1, WithCode(ExitUsage, fmt.Errorf("mount %s: must be root, this is uid %d", target, uid))
	}
	if path, err = prepare(target); err != nil {
		return "", -1, err
	}
	fd, err = openDevice()
	return path, fd, err
}
