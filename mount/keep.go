package mount

import (
	"fmt"
	"os"

	"bpfviewfs/mount/wire"
)

// Keep has the keeper hold an open file until the mount ends, and hand it to every later server. It replaces
// an earlier file. The locks of the open file, for example, then last as long as the mount. The caller still
// owns f.
func (c *Conn) Keep(f *os.File) error {
	if err := c.keeper.Send(wire.Message{Word: wire.Keep}, int(f.Fd())); err != nil {
		return fmt.Errorf("hand %s to the keeper: %w", f.Name(), err)
	}
	return nil
}

// Kept returns the file that an earlier server gave to Keep, nil if there is none. The caller owns it.
func (c *Conn) Kept() *os.File { return c.kept }

// hold is the keeper's part.
func (k *Keeper) hold(files []*os.File) {
	for _, f := range files {
		k.kept.Close()
		k.kept = f
	}
	if k.at.Attached() { // else it is stored with the rest
		k.store()
	}
}

// held returns the descriptors that the mount needs, by their names in the service manager's store.
func (k *Keeper) held() map[string]int {
	fds := map[string]int{heldDevice: k.at.FD(), heldState: int(k.state.File().Fd()), heldMemory: int(k.memory.Fd())}
	if k.kept != nil {
		fds[heldKept] = int(k.kept.Fd())
	}
	return fds
}
