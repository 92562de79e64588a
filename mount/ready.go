package mount

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// Ready returns when the tree is served: INIT is answered and the filesystem knows its root. The root is asked for
// directly, as if the kernel had asked, and not by a stat on the mount: a thread in a stat on its own process's mount
// cannot die when the process is killed, and keeps the descriptor, and so the dead mount, alive.
//
// It returns an error when Serve ends or ctx does before that.
func (c *Conn) Ready(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-c.served:
	case <-ctx.Done():
		return fmt.Errorf("serve %s: not ready: %w", c.at.Target, context.Cause(ctx))
	}
	select {
	case <-c.served: // then ready tells nothing
		return fmt.Errorf("serve %s: it has ended", c.at.Target)
	default:
	}
	if _, err := c.server.ask(opGetattr, rootNode, 0, 0); err != nil {
		return fmt.Errorf("serve %s: the root directory: %w", c.at.Target, err)
	}
	return nil
}

// readable tells whether the tree at target answers, from a process that does not serve it.
func readable(target string) error {
	var st unix.Stat_t
	if err := unix.Stat(target, &st); err != nil {
		return fmt.Errorf("mounted on %s, but it does not answer: %w", target, err)
	}
	return nil
}
