package place

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// Flags are the mount flags that no option takes away. The tree has no device, no program, and nothing to
// write.
const Flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// MaxRead is the largest READ that the kernel sends, in bytes, unless fs.fuse.max_pages_limit was raised.
const MaxRead = 1 << 20

// Mount is one mount and the descriptor of its connection.
type Mount struct {
	path string // prepared for the mount
	info Info   // zero until the mount is made

	mu sync.RWMutex // held for writing by Close
	fd int          // -1 when closed
}

// Prepare does everything before mount(2) on a directory, and opens /dev/fuse. It detaches a dead bpfviewfs
// there; a live one is an error.
func Prepare(target string) (*Mount, error) {
	if uid := os.Geteuid(); uid != 0 {
		return nil, exit.With(exit.Usage,
			fmt.Errorf("mount %s: must be root, this is uid %d", target, uid))
	}
	path, err := prepare(target)
	if err != nil {
		return nil, err
	}
	fd, err := openDevice()
	if err != nil {
		return nil, err
	}
	return &Mount{path: path, fd: fd}, nil
}

// Inherited returns a mount of another process by the descriptor of its connection. at is zero if it is not
// mounted yet, see Found. Close closes the descriptor.
func Inherited(fd int, at Info) *Mount { return &Mount{path: at.Target, fd: fd, info: at} }

// Found says where an inherited mount was made.
func (m *Mount) Found(at Info) { m.info = at }

// Attach calls mount(2). The kernel shows the source exactly as given. Flags are added to flags.
func (m *Mount) Attach(source string, flags uintptr) error {
	lock, err := lockTarget(m.path)
	if err != nil {
		return err
	}
	defer lock.Close()
	data := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0,"+
		"allow_other,default_permissions,max_read=%d", m.fd, unix.S_IFDIR, MaxRead)
	if err := unix.Mount(source, m.path, Type, flags|Flags, data); err != nil {
		return mountError(m.path, err)
	}
	m.info, err = settle(m.path)
	return err
}

const noFUSE = "the kernel has no FUSE yet, try: modprobe fuse"

func openDevice() (int, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, fmt.Errorf("open /dev/fuse: %w: %s", err, noFUSE)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return -1, exit.With(exit.Usage,
			fmt.Errorf("open /dev/fuse: %w: a container needs this device allowed", err))
	}
	return -1, exit.With(exit.System, fmt.Errorf("open /dev/fuse: %w", err))
}

func mountError(target string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return exit.With(exit.Usage,
			fmt.Errorf("mount on %s: %w: CAP_SYS_ADMIN is missing", target, err))
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("mount on %s: %w: %s", target, err, noFUSE)
	}
	return fmt.Errorf("mount on %s: %w", target, err)
}

// Info returns where the mount was made, zero before that. It may have been moved since, see Target.
func (m *Mount) Info() Info { return m.info }

// String returns the directory that it was mounted on.
func (m *Mount) String() string { return m.info.Target }

// Attached reports whether the mount was made.
func (m *Mount) Attached() bool { return m.info.Target != "" }

// FD returns the descriptor of the connection, -1 once it is closed. Reads of it must end before Close.
func (m *Mount) FD() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.fd
}

// Write sends one message to the kernel. ENOTCONN means that the descriptor is closed.
func (m *Mount) Write(message []byte) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.fd < 0 {
		return unix.ENOTCONN
	}
	_, err := unix.Write(m.fd, message)
	return err
}

// Close gives the descriptor back. The kernel then ends the connection if no other process holds it.
func (m *Mount) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fd >= 0 {
		unix.Close(m.fd)
		m.fd = -1
	}
}

// ClearDead detaches what an Attach has left that failed, once the connection has ended.
func (m *Mount) ClearDead() error { return clearDead(m.path) }

// ours reports whether p is this mount. It compares device numbers, because a mount's id may have
// been given to another mount. So may the device number after the end of the connection; then only a dead
// mount counts.
func (m *Mount) ours(p *place, at Info) bool { return m.numbered(at) && (!m.Over() || p.dead()) }

func (m *Mount) numbered(at Info) bool { return at.Major == m.info.Major && at.Minor == m.info.Minor }

// Target returns where the mount is now, because mount --move may have moved it. ErrNotMounted means that it
// is gone, any other error that this is not known.
func (m *Mount) Target() (string, error) {
	list, err := List()
	if err != nil {
		return "", err
	}
	for _, at := range list {
		if m.numbered(at) && (at.ID == m.info.ID || at.Target == m.info.Target) {
			return at.Target, nil
		}
	}
	return "", ErrNotMounted
}

// Over reports whether the connection has ended (fuse_dev_poll in fs/fuse/dev.c).
func (m *Mount) Over() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.fd < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(m.fd)}}
	n, _ := unix.Poll(fds, 0)
	return n > 0 && fds[0].Revents&unix.POLLERR != 0
}

// Mounted reports whether the mount is still at its target. If that cannot be found out, it counts as
// mounted.
func (m *Mount) Mounted() bool {
	p, err := openMounted(m.info.Target, m.ours)
	if err != nil {
		return !Gone(err)
	}
	p.close()
	return true
}

// Unmount takes the mount away from its target with umount2(2), and with MNT_DETACH if it is busy. A detached
// mount is out of reach for new paths. Its open files are served until the last is closed. If there is
// nothing at the target, or another mount, Unmount does nothing. It does not touch bind mounts of the tree.
func (m *Mount) Unmount() (detached bool, err error) {
	target, err := m.Target()
	if err == nil {
		detached, err = takeDown(target, m.ours)
	}
	if Gone(err) {
		return false, nil
	}
	return detached, err
}
