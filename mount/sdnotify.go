package mount

import (
	"fmt"
	"net"
	"os"
)

// Notify tells the service manager a state such as READY=1 or STOPPING=1, see sd_notify(3). Without one, that is
// without NOTIFY_SOCKET in the environment, it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A leading @ means an abstract socket, here as in net.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
