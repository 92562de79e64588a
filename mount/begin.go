package mount

import (
	"fmt"
	"os"
)

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
