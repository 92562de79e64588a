package mount

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// wire connects a keeper and its server: a socket pair with one message a packet.
type wire struct{ conn *net.UnixConn }

// message is one order or report. These are the keeper's orders:
//
//	go      begin to serve (Order)
//	stop    let go of the connection, because another server is about to begin
//	take    answer the requests that a dead server left in the other region
//	ping    report that you answer
//
// These are the server's reports:
//
//	prepared   it can begin (Warnings)
//	serving    it answers
//	stopped    it ends when it has answered its requests in work
//	ended      the connection has ended, by an unmount or with an Error
//	failed     it cannot start (Error, Code)
//	keep       hold the file that comes with this, see Keep
//	pong       it answers still
type message struct {
	Word  string
	Order order  `json:",omitzero"`
	Error string `json:",omitempty"`
	Code  int    `json:",omitempty"`

	Warnings []string `json:",omitempty"` // for the caller of mount(8)

	files []*os.File // that came with it
}

const (
	wordGo       = "go"
	wordStop     = "stop"
	wordTake     = "take"
	wordPing     = "ping"
	wordPrepared = "prepared"
	wordServing  = "serving"
	wordStopped  = "stopped"
	wordEnded    = "ended"
	wordFailed   = "failed"
	wordPong     = "pong"
	wordKeep     = "keep"
)

// order describes how to begin.
type order struct {
	Region   int            // for the requests that it reads
	Take     bool           // also answer the requests in the other region
	Trial    bool           // one by one, because the server before crashed
	Disabled map[int]string // views that must not run, by number, with the reason
	Status   Status
}

// newWire makes both ends of a wire; the far one is for another process.
func newWire() (near *wire, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, exit.With(exit.System, fmt.Errorf("make a socket pair: %w", err))
	}
	far = os.NewFile(uintptr(fds[1]), "server")
	if near, err = openWire(os.NewFile(uintptr(fds[0]), "keeper")); err != nil {
		far.Close()
	}
	return near, far, err
}

// openWire takes an end of a wire over.
func openWire(file *os.File) (*wire, error) {
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
	return &wire{unixConn}, nil
}

// send sends a message, with duplicates of descriptors.
func (w *wire) send(m message, fds ...int) error {
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

func (w *wire) receive() (m message, err error) {
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
		m.files, err = received(rights[:r])
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
func (w *wire) next() (size int, err error) {
	conn, err := w.conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		size, _, failed = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
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

func (w *wire) close() { w.conn.Close() }

// maxText bounds an error in a message, in bytes. A socket takes messages of some 200 KiB (SO_SNDBUF in
// socket(7)).
const maxText = 16 << 10

// text returns the text of err, cut to maxText; "" for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " ..."
	}
	return text
}

// err returns the error in a message.
func (m message) err() error {
	if m.Error == "" {
		return nil
	}
	if m.Code == 0 {
		return errors.New(m.Error)
	}
	return exit.With(m.Code, errors.New(m.Error))
}
