package mount

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// Descriptors that a server process gets from its keeper.
const (
	inheritedDevice = 3 + iota
	inheritedState
	inheritedMemory
	inheritedWire
)

// KeeperVar is in the environment of a server process and holds the keeper's pid. Without it there is no
// keeper.
const KeeperVar = "BPFVIEWFS_KEEPER"

// Status is a server's account of itself and its keeper.
type Status struct {
	Keeper   int       `json:"keeper_pid"`
	Server   int       `json:"server_pid"`
	Mounted  time.Time `json:"mounted"`
	Serving  time.Time `json:"serving"`  // start of service
	Restarts int       `json:"restarts"` // after the death of a server
	Reloads  int       `json:"reloads"`
}

// Inherit gives a server process the connection that its keeper holds. From then on the server ignores
// signals that end a program: the keeper unmounts, and that ends the server. The server exits with its
// keeper, because nothing would restart it. The next mount at the target clears the dead mount; it would
// refuse a live one.
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

// Memory is a file that every server of the mount inherits. Its contents outlive the server, and this package
// does not read them.
func (c *Conn) Memory() *os.File { return c.memory }

// Status is known when Serve has begun.
func (c *Conn) Status() Status { return c.status }

// Failed tells the keeper why this server process cannot start.
func (c *Conn) Failed(err error) {
	c.keeper.send(message{Word: wordFailed, Error: text(err), Code: exit.Code(err)})
}

// Heir is a filesystem that is told when it takes the place of another server, see fs.FS. A filesystem that
// keeps nothing in Memory need not implement it.
type Heir interface {
	// Begin is called before the first request, with the disabled views and the reason for each: they
	// crashed servers.
	Begin(disabled map[int]string)
	// Leave is called when another server is about to begin. Requests still come.
	Leave()
	// Alone is called when no other server works for the mount any more.
	Alone()
}

// errNoKeeper ends a server process after the death of its keeper.
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
	at, err := c.state.info()
	if err != nil {
		return order{}, err
	}
	c.at.Found(at)
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
