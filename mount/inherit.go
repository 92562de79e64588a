package mount

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors that a server process gets from its keeper.
const (
	inheritedDevice = 3 + iota
	inheritedState
	inheritedMemory
	inheritedWire
)

// KeeperVar is in the environment of a server process: the keeper's pid. Without it nothing was handed over.
const KeeperVar = "BPFVIEWFS_KEEPER"

// Status is what a server can tell about itself and its keeper.
type Status struct {
	Keeper   int       `json:"keeper_pid"`
	Server   int       `json:"server_pid"`
	Mounted  time.Time `json:"mounted"`
	Serving  time.Time `json:"serving"`  // since when this server serves
	Restarts int       `json:"restarts"` // after the death of a server
	Reloads  int       `json:"reloads"`
}

// Inherit gives a server process the connection that its keeper holds. Signals that end a program are ignored from then
// on: the keeper unmounts, and that ends the server. If the keeper dies, so does the server. It could serve on, but nobody would
// start another after it, and the next mount at the target finds a dead mount, which it takes away, and not a
// live one, which it must not.
func Inherit() (*Conn, error) {
	setComm()
	for fd := inheritedDevice; fd <= inheritedWire; fd++ {
		unix.CloseOnExec(fd)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	keeper, err := openWire(os.NewFile(inheritedWire, "keeper"))
	if err != nil {
		return nil, fmt.Errorf("a server is started by its keeper only: %w", err)
	}
	c := newConn(inheritedDevice)
	c.keeper = keeper
	c.memory = os.NewFile(inheritedMemory, "memory")
	if c.state, err = openState(os.NewFile(inheritedState, "state")); err == nil {
		err = c.state.check()
	}
	if err != nil {
		c.Failed(err)
		return nil, err
	}
	return c, nil
}

// Memory is a file of no meaning to this package that every server of the mount inherits: what a filesystem keeps there
// outlives the server.
func (c *Conn) Memory() *os.File { return c.memory }

// Status is known when Serve has begun.
func (c *Conn) Status() Status { return c.status }

// Failed tells the keeper why this server process cannot start.
func (c *Conn) Failed(err error) {
	c.keeper.send(message{Word: wordFailed, Error: text(err), Code: ExitCode(err)})
}

// Heir is a filesystem that wants to know when it takes the place of another server's, see fs.FS. Filesystems that keep
// nothing in Memory need not be one.
type Heir interface {
	// Begin is called before the first request, with the views that must not run and why: they brought servers down.
	Begin(disabled map[int]string)
	// Leave is called when another server is about to begin. Requests are answered all the same.
	Leave()
	// Alone is called when no other server works for the mount any more.
	Alone()
}

// errNoKeeper ends a server process whose keeper has died.
var errNoKeeper = errors.New("the keeper has died: the mount is dead until the next one clears it")

// await waits for the order to begin.
func (c *Conn) await() (order, error) {
	if err := c.keeper.send(message{Word: wordPrepared, Warnings: c.Warnings}); err != nil {
		return order{}, errNoKeeper
	}
	m, err := c.keeper.receive()
	if err != nil {
		return order{}, errNoKeeper
	}
	if m.Word != wordGo {
		return order{}, fmt.Errorf("the keeper said %q, not %s", m.Word, wordGo)
	}
	o := m.Order
	c.status = o.Status
	c.status.Server, c.status.Serving = os.Getpid(), time.Now()
	if c.at, err = c.state.info(); err != nil {
		return order{}, err
	}
	return o, nil
}

// obey reports that the server serves, and follows the keeper's orders to the end.
func (s *server) obey() {
	s.conn.keeper.send(message{Word: wordServing})
	for {
		m, err := s.conn.keeper.receive()
		if err != nil {
			s.end(errNoKeeper)
			return
		}
		switch m.Word {
		case wordTake:
			s.takeOver()
			if s.heir != nil {
				s.heir.Alone()
			}
		case wordPing:
			go s.pong()
		case wordStop:
			if s.heir != nil {
				s.heir.Leave()
			}
			s.conn.keeper.send(message{Word: wordStopped}) // first: the process may end at once
			s.leave()
		}
	}
}
