package mount

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Abort ends the connection at once: every reader gets an error, also of files that are open and through bind mounts.
// It writes to the connection's abort file in fusectl (Documentation/filesystems/fuse.rst), which it mounts for itself
// and nowhere visible, as the machine may not have it mounted. fsopen(2) is in Linux since 5.2. Abort does nothing when the
// connection has ended.
func (c *Conn) Abort() error {
	err := c.abort()
	if err != nil {
		return fmt.Errorf("abort the connection of %s: %w", c.at.Target, err)
	}
	return nil
}

func (c *Conn) abort() error {
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
	fd, err := unix.Openat(root, fmt.Sprintf("%d/abort", c.at.Minor), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	// The number of a connection that has ended may be another's. If it has not ended by now, the file is its own.
	if c.over() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the abort file of connection %d: %w", c.at.Minor, err)
	}
	_, err = unix.Write(fd, []byte("1"))
	return err
}
