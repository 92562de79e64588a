package mount

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// isReady also ends the status that await has told.
const isReady = "READY=1\nSTATUS="

// Notify tells the service manager a state such as READY=1 or STOPPING=1, see sd_notify(3). Without
// NOTIFY_SOCKET in the environment it does nothing.
func Notify(state string) error {
	return notifyWith(state)
}

// notifyWith is Notify with descriptors.
func notifyWith(state string, fds ...int) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(socket)
		// A leading @ means an abstract socket, here as there.
		err = unix.Sendmsg(socket, []byte(state), rights, &unix.SockaddrUnix{Name: path}, 0)
	}
	if err != nil {
		return fmt.Errorf("tell the service manager %q: %w", state, err)
	}
	return nil
}
