package server

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/wire"
)

// Inherit gives a server process the connection that its keeper holds. From then on the server ignores
// signals that end a program: the keeper unmounts, and that ends the server. The server exits with its
// keeper, because nothing would restart it. The next mount at the target clears the dead mount; it would
// refuse a live one.
func Inherit() (*Conn, error) {
	wire.NameThreads()
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	l := wire.Inherit()
	keeper, err := wire.Open(l.Wire)
	if err != nil {
		return nil, fmt.Errorf("a server is started by its keeper only: %w", err)
	}
	c := newConn(wire.Device)
	c.keeper, c.memory, c.kept = keeper, l.Memory, l.Kept
	if l.Standby {
		c.waits.Store(true)
		runtime.GOMAXPROCS(1) // readers may wait for the server that serves
		wire.NameProcess(wire.StandbyName)
	}
	if c.requests, err = handoff.Open(l.Requests); err == nil {
		err = c.requests.Check()
	}
	if err != nil {
		c.Failed(err)
		return nil, err
	}
	return c, nil
}

// allProcessors lets the process use as many CPUs as it would have from its start on.
func allProcessors() {
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		runtime.GOMAXPROCS(n)
		return
	}
	runtime.SetDefaultGOMAXPROCS()
}

// Memory is a file that every server of the mount inherits. Its contents outlive the server, and this package
// does not read them.
func (c *Conn) Memory() *os.File { return c.memory }

// Status is known when Serve has begun.
func (c *Conn) Status() wire.Status { return c.status }

// Waits reports whether this server is a standby that has not begun. The server that serves has logged all
// that there is to say about its views.
func (c *Conn) Waits() bool { return c.waits.Load() }

// Changed tells the keeper that a standby is out of date, and whether another one is worth while (see
// Standby).
func (c *Conn) Changed(standby bool) {
	c.keeper.Send(wire.Message{Word: wire.Changed, Standby: standby})
}

// Loading tells the keeper how far this server has come with its preparations. The keeper kills a server that
// does not get on. Once the server serves, Loading does nothing.
func (c *Conn) Loading(doing string) {
	if c.server == nil {
		c.keeper.Send(wire.Message{Word: wire.Loading, Doing: doing})
	}
}

// Failed tells the keeper why this server process cannot start.
func (c *Conn) Failed(err error) {
	c.keeper.Send(wire.Report(wire.Failed, err))
}

// Heir is a filesystem that is told when it takes the place of another server, see fs.FS. A filesystem that
// keeps nothing in Memory need not implement it.
type Heir interface {
	// Begin is called before the first request, with the disabled views and the reason for each: they
	// crashed servers.
	Begin(disabled map[int]string)
	// Leave is called when another server is about to begin. Requests still come.
	Leave()
	// Alone is called when no other server works for the mount any more, before the first request that
	// another one has left.
	Alone()
}

// errNoKeeper ends a server process after the death of its keeper.
var errNoKeeper = errors.New("the keeper has died: the mount is dead until the next one clears it")

// idleTime is the age of a prepared server at which OnWait is called.
const idleTime = time.Second

// await waits for the order to begin.
func (c *Conn) await() (wire.Order, error) {
	if err := c.keeper.Send(wire.Message{Word: wire.Prepared, Warnings: c.Warnings}); err != nil {
		return wire.Order{}, errNoKeeper
	}
	if c.OnWait != nil {
		defer time.AfterFunc(idleTime, c.OnWait).Stop()
	}
	m, err := c.keeper.Receive()
	if err != nil {
		return wire.Order{}, errNoKeeper
	}
	if c.waits.Swap(false) {
		allProcessors()
		wire.NameProcess(wire.ProcessName)
	}
	if m.Word != wire.Go {
		return wire.Order{}, fmt.Errorf("the keeper said %q, not %s", m.Word, wire.Go)
	}
	o := m.Order
	c.status = o.Status
	c.status.Server, c.status.Serving = os.Getpid(), time.Now()
	at, err := c.requests.Info()
	if err != nil {
		return wire.Order{}, err
	}
	c.at.Found(at)
	return o, nil
}

// obey reports that the server serves, and follows the keeper's orders to the end.
func (s *server) obey() {
	s.conn.keeper.Send(wire.Message{Word: wire.Serving, Standby: s.conn.Standby})
	for {
		m, err := s.conn.keeper.Receive()
		if err != nil {
			s.end(errNoKeeper)
			return
		}
		switch m.Word {
		case wire.Take:
			if s.heir != nil {
				s.heir.Alone()
			}
			s.takeOver()
		case wire.Ping:
			go s.pong()
		case wire.Stop:
			if s.heir != nil {
				s.heir.Leave()
			}
			// Before it leaves, because the process may end at once.
			s.conn.keeper.Send(wire.Message{Word: wire.Stopped})
			s.leave()
		}
	}
}

// pong answers beat: it asks the filesystem for the root, as a reader would.
func (s *server) pong() {
	if _, err := s.ask(opGetattr, rootNode, 0, 0); err != nil {
		s.conn.logf("the root directory: %v", err)
	}
	s.conn.keeper.Send(wire.Message{Word: wire.Pong})
}

// Keep has the keeper hold an open file until the mount ends, and hand it to every later server. It replaces
// an earlier file. The locks of the open file, for example, then last as long as the mount. The caller still
// owns f.
func (c *Conn) Keep(f *os.File) error {
	if err := c.keeper.Send(wire.Message{Word: wire.Keep}, int(f.Fd())); err != nil {
		return fmt.Errorf("hand %s to the keeper: %w", f.Name(), err)
	}
	return nil
}

// CloseLater has the keeper hold an open file, too, until this process has ended. The kernel frees some files
// slowly, and the process would end only then. The caller still owns f.
func (c *Conn) CloseLater(f *os.File) error {
	if err := c.keeper.Send(wire.Message{Word: wire.Close}, int(f.Fd())); err != nil {
		return fmt.Errorf("hand a file to the keeper: %w", err)
	}
	return nil
}

// Kept returns the file that an earlier server gave to Keep, nil if there is none. The caller owns it.
func (c *Conn) Kept() *os.File { return c.kept }
