package mount

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keptVar is in the environment of a server process if its keeper holds a file of an earlier one: the number of its descriptor.
const keptVar = "BPFVIEWFS_KEPT"

// Keep has the keeper hold an open file until the mount ends, in the place of an earlier one, and hand it to every later server. What
// depends on an open file, for example its locks, then lasts as long as the mount. The caller keeps f.
func (c *Conn) Keep(f *os.File) error {
	if err := c.keeper.send(message{Word: wordKeep}, int(f.Fd())); err != nil {
		return fmt.Errorf("hand %s to the keeper: %w", f.Name(), err)
	}
	return nil
}

// Kept is the file that an earlier server gave to Keep, nil if there is none. It is the caller's.
func (c *Conn) Kept() *os.File {
	fd, err := strconv.Atoi(os.Getenv(keptVar))
	if err != nil {
		return nil
	}
	os.Unsetenv(keptVar)
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "kept")
}

// hold is the keeper's part.
func (k *Keeper) hold(files []*os.File) {
	for _, f := range files {
		k.kept.Close()
		k.kept = f
	}
	if k.conn.at.Target != "" { // else it is stored with the rest
		k.store()
	}
}

// held are the descriptors that the mount goes on with, by their names in the service manager's store.
func (k *Keeper) held() map[string]int {
	fds := map[string]int{heldDevice: k.conn.fd, heldState: int(k.state.file.Fd()), heldMemory: int(k.memory.Fd())}
	if k.kept != nil {
		fds[heldKept] = int(k.kept.Fd())
	}
	return fds
}
