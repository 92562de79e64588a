package place

import (
	"errors"
	"fmt"

	"bpfviewfs/mount/exit"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Type is the filesystem type in /proc/mounts.
const Type = "fuse.bpfviewfs"

// Info is one line of /proc/self/mountinfo, see proc_pid_mountinfo(5).
type Info struct {
	ID, Parent   int    // of the mount
	Major, Minor int    // st_dev of every file; Minor names the connection in /sys/fs/fuse/connections
	Root         string // the mounted directory of the filesystem: "/", or one below in a bind mount
	Target       string // the mount point
	Source       string // as given to mount
}

// List returns the mounts of bpfviewfs in this mount namespace, bind mounts included, in the order of
// mountinfo. Of several at one target the last one is on top. It touches none of them.
func List() ([]Info, error) {
	var list []Info
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter(Type))
	if err != nil {
		return nil, exit.With(exit.System, fmt.Errorf("read /proc/self/mountinfo: %w", err))
	}
	for _, m := range mounts {
		list = append(list, Info{m.ID, m.Parent, m.Major, m.Minor, m.Root, m.Mountpoint, m.Source})
	}
	return list, nil
}

// ErrNotMounted means that there is no bpfviewfs at the target.
var ErrNotMounted = errors.New("no " + Type + " is mounted there")

// Find returns the topmost bpfviewfs mounted at dir. It returns ErrNotMounted if there is none or another
// mount covers it.
func Find(dir string) (Info, error) {
	p, err := openPlace(dir)
	if err != nil {
		return Info{}, err
	}
	defer p.close()
	return p.info()
}

// Gone reports whether err means that nothing is mounted, rather than that the answer is unknown.
func Gone(err error) bool { return errors.Is(err, ErrNotMounted) || errors.Is(err, unix.ENOENT) }
