package mount

import "os"

// hold keeps a file of a server until the mount ends, in place of an earlier one, and hands it to every later
// server.
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
	fds := map[string]int{
		heldDevice: k.at.FD(), heldState: int(k.requests.File().Fd()), heldMemory: int(k.memory.Fd()),
	}
	if k.kept != nil {
		fds[heldKept] = int(k.kept.Fd())
	}
	return fds
}
