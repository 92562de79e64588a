package server

import (
	"context"
	"fmt"
)

// Ready returns when the tree is served: INIT is answered and the filesystem knows its root. It asks the
// filesystem for the root directly, not by a stat on the mount. A thread in a stat on its own process's mount
// cannot die when the process is killed, and would keep the descriptor and the dead mount alive.
//
// It returns an error if Serve ends or ctx does before that.
func (c *Conn) Ready(ctx context.Context) error {
	select {
	case <-c.ready:
	case <-c.served:
	case <-ctx.Done():
		return fmt.Errorf("serve %s: not ready: %w", c.at, context.Cause(ctx))
	}
	select {
	case <-c.served: // then the state of ready means nothing
		return fmt.Errorf("serve %s: it has ended", c.at)
	default:
	}
	if _, err := c.server.ask(opGetattr, rootNode, 0, 0); err != nil {
		return fmt.Errorf("serve %s: the root directory: %w", c.at, err)
	}
	return nil
}
