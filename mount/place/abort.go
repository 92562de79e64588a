package place

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Abort ends the connection at once. Every reader gets an error, including readers of open files and of bind
// mounts. Abort writes to the connection's abort file in fusectl (Documentation/filesystems/fuse.rst). It
// mounts fusectl itself, detached, because the machine may not have it mounted. fsopen(2) is in Linux since
// 5.2. If the connection has ended, Abort does nothing.
func (m *Mount) Abort() error {
	err := m.abort()
	if err != nil {
		return fmt.Errorf("abort the connection of %s: %w", m, err)
	}
	return nil
}

func (m *Mount) abort() error {
	ctx, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open fusectl: %w", err)
	}
	defer unix.Close(ctx)
	if err := unix.FsconfigCreate(ctx); err != nil {
		return fmt.Errorf("create fusectl: %w", err)
	}
	root, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount fusectl: %w", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, fmt.Sprintf("%d/abort", m.info.Minor), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	// Once a connection has ended, its number may belong to a later one. If it has not ended by now, the
	// file is right.
	if m.Over() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the abort file of connection %d: %w", m.info.Minor, err)
	}
	_, err = unix.Write(fd, []byte("1"))
	return err
}
