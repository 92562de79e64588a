package mount

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// grace is how long files that are open may be read on after a signal asked to end.
const grace = time.Second

// UnmountOnSignal unmounts at the first SIGINT or SIGTERM, so that Serve returns: at once when nothing is
// open, else after a second, in which open files are served on, by Abort. A second signal ends the process.
// stop gives the signals back.
func (c *Conn) UnmountOnSignal() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	stopped := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // the next one has its default action
			c.logf("%v: unmounting %s", s, c.at.Target)
			c.end()
		case <-c.served:
		case <-stopped:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(stopped)
	}
}

func (c *Conn) end() {
	Notify("STOPPING=1")
	if err := c.Unmount(); err != nil {
		c.logf("%v", err)
	}
	select {
	case <-c.served:
	case <-time.After(grace):
		if err := c.Abort(); err != nil {
			c.logf("%v", err)
		}
	}
}
