// Package wire has what a keeper and its server exchange: the descriptors that the server inherits, and the
// messages that they send each other.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// End is one end of a wire, which connects a keeper and its server: a socket pair with one message a packet.
type End struct{ conn *net.UnixConn }

// Word says what a message is about.
type Word string

// The keeper's orders.
const (
	Go   Word = "go"   // begin to serve (Order)
	Stop Word = "stop" // let go of the connection, because another server is about to begin
	Take Word = "take" // answer the requests that a dead server left in the other region
	Ping Word = "ping" // report that you answer
)

// The server's reports.
const (
	Loading  Word = "loading"  // it prepares itself and has come this far (Doing)
	Prepared Word = "prepared" // it can begin (Warnings)
	Serving  Word = "serving"  // it answers (Standby)
	Changed  Word = "changed"  // what a standby has prepared is out of date (Standby)
	Stopped  Word = "stopped"  // it ends when it has answered its requests in work
	Ended    Word = "ended"    // the connection has ended, by an unmount or with an Error
	Failed   Word = "failed"   // it cannot start (Error)
	Keep     Word = "keep"     // hold the file that comes with this
	Pong     Word = "pong"     // it answers still
	Close    Word = "close"    // close the file that comes with this when the server has ended
)

// Message is one order or report.
type Message struct {
	Word  Word
	Order Order  `json:",omitzero"`
	Error string `json:",omitempty"`
	Code  int    `json:",omitempty"` // the exit code of Error

	Doing    string   `json:",omitempty"` // in words
	Warnings []string `json:",omitempty"` // for the caller of mount(8)
	Standby  bool     `json:",omitempty"` // it is worth while to prepare another server beside this one

	Files []*os.File `json:"-"` // that came with it
}

// Order describes how to begin.
type Order struct {
	Region   int            // for the requests that it reads
	Take     bool           // also answer the requests in the other region
	Trial    bool           // one by one, because the server before crashed
	Disabled map[int]string // views that must not run, by number, with the reason
	Status   Status
}

// Status is a server's account of itself and its keeper.
type Status struct {
	Keeper   int       `json:"keeper_pid"`
	Server   int       `json:"server_pid"`
	Mounted  time.Time `json:"mounted"`
	Serving  time.Time `json:"serving"`  // start of service
	Restarts int       `json:"restarts"` // after the death of a server
	Reloads  int       `json:"reloads"`
}

// New makes both ends of a wire; the far one is for another process.
func New() (near *End, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, exit.With(exit.System, fmt.Errorf("make a socket pair: %w", err))
	}
	far = os.NewFile(uintptr(fds[1]), "server")
	if near, err = Open(os.NewFile(uintptr(fds[0]), "keeper")); err != nil {
		far.Close()
	}
	return near, far, err
}

// Open takes an end of a wire over.
func Open(file *os.File) (*End, error) {
	defer file.Close() // net has a duplicate
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, exit.With(exit.System, fmt.Errorf("use a socket pair: %w", err))
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, exit.With(exit.System, errors.New("the wire to the keeper is no unix socket"))
	}
	return &End{unixConn}, nil
}

// Send sends a message, with duplicates of descriptors.
func (w *End) Send(m Message, fds ...int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	packet, err := json.Marshal(m)
	if err == nil {
		_, _, err = w.conn.WriteMsgUnix(packet, rights, nil)
	}
	if err != nil {
		return fmt.Errorf("say %s: %w", m.Word, err)
	}
	return nil
}

// Receive waits for a message. io.EOF means that the other end is closed.
func (w *End) Receive() (m Message, err error) {
	size, err := w.next()
	if err != nil {
		return m, err
	}
	packet, rights := make([]byte, size), make([]byte, unix.CmsgSpace(4))
	n, r, _, _, err := w.conn.ReadMsgUnix(packet, rights)
	if err == nil {
		err = json.Unmarshal(packet[:n], &m)
	}
	if err == nil && r > 0 {
		m.Files, err = received(rights[:r])
	}
	return m, err
}

// received returns the files that came with a message.
func received(rights []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	for _, c := range messages {
		var fds []int
		if fds, err = unix.ParseUnixRights(&c); err != nil {
			break
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, err
}

// next waits for a message and returns its size. A part that does not fit the buffer of the read is lost.
func (w *End) next() (size int, err error) {
	conn, err := w.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		size, _, failed = unix.Recvfrom(int(fd), make([]byte, 1),
			unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		return failed != unix.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case failed != nil:
		return 0, failed
	case size == 0:
		return 0, io.EOF
	}
	return size, nil
}

// Close closes this end.
func (w *End) Close() { w.conn.Close() }

// maxText bounds an error in a message, in bytes. A socket takes messages of some 200 KiB (SO_SNDBUF in
// socket(7)).
const maxText = 16 << 10

// Report makes a report with an error, nil for none.
func Report(word Word, err error) Message {
	if err == nil {
		return Message{Word: word}
	}
	text := err.Error()
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " ..."
	}
	return Message{Word: word, Error: text, Code: exit.Code(err)}
}

// Err returns the error in a message.
func (m Message) Err() error {
	if m.Error == "" {
		return nil
	}
	if m.Code == 0 { // from a server of an earlier version
		return errors.New(m.Error)
	}
	return exit.With(m.Code, errors.New(m.Error))
}
