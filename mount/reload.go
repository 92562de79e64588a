package mount

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
)

// reload is a request for a server from the program that is now at our path. The outcome goes to answer, or
// to the log if answer is nil.
type reload struct {
	answer chan<- error
	keeper bool // then the keeper is to run the new program, too
}

// upgrade begins the next reload if no other change is under way.
func (k *Keeper) upgrade() {
	switch {
	case k.upgrades && k.serving != nil && k.serving.serves && k.next == nil && k.leaving == nil:
		k.done(nil)
	case k.upgrades:
		return
	}
	change := k.replacing != nil || k.next != nil || k.leaving != nil || k.serving != nil && !k.serving.serves
	if len(k.reloads) == 0 || change {
		return
	}
	k.upgrades = true
	k.blame = blame{}
	exe, err := os.Open(k.path)
	if err == nil {
		k.retry = nil
		if err = k.start(exe); err != nil {
			exe.Close()
		}
	}
	if err != nil {
		k.done(err)
	}
}

// done ends the reload that is under way.
func (k *Keeper) done(err error) {
	if err != nil {
		err = fmt.Errorf("reload: the new server does not start, the one before serves on: %w", err)
	}
	r := k.reloads[0]
	k.reloads, k.upgrades = k.reloads[1:], false
	if err == nil && r.keeper {
		// The new program works, because this server runs it. The keeper that replaces this one
		// starts another server.
		k.replacing = r
		k.dismissStandby()
		k.serving.Kill()
		return
	}
	k.tell(r, err)
}

// tell sends the outcome of a reload to its caller.
func (k *Keeper) tell(r *reload, err error) {
	switch {
	case r.answer != nil:
		r.answer <- err
	case err != nil:
		k.Logf("%v", err)
	}
}

// socketDir holds a socket for every keeper, named by its mount's device number. Only root may enter it.
const socketDir = "/run/bpfviewfs"

func socketPath(at place.Info) string {
	return filepath.Join(socketDir, fmt.Sprintf("%d:%d", at.Major, at.Minor))
}

type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

func newSocket(path string) (*socket, error) {
	if err := os.Mkdir(socketDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	os.Remove(path) // of an earlier mount with the same number
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	s := &socket{UnixListener: listener, path: path}
	s.file, err = os.Lstat(path)
	return s, err
}

// close also removes the socket's file, unless it belongs to another keeper: a number is free once its mount
// has ended.
func (s *socket) close() {
	if s == nil {
		return
	}
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.file, now) {
		os.Remove(s.path)
	}
	s.Close()
}

func (k *Keeper) tryListen() {
	if err := k.listen(); err != nil {
		k.Logf("no reload but by SIGHUP: %v", err)
	}
}

// listen takes requests until the keeper ends. A request is one line, and so is the answer (see
// parseOutcome).
func (k *Keeper) listen() (err error) {
	if k.socket, err = newSocket(socketPath(k.at.Info())); err != nil {
		return err
	}
	socket := k.socket
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			go k.attend(conn)
		}
	}()
	return nil
}

func (k *Keeper) attend(conn net.Conn) {
	defer conn.Close()
	word, _ := bufio.NewReader(conn).ReadString('\n')
	switch word {
	case wordReload, wordReplace:
	case wordOptions:
		json.NewEncoder(conn).Encode(k.Options.own())
		return
	default:
		return
	}
	answer := make(chan error, 1)
	select {
	case k.asked <- &reload{answer, word == wordReplace}:
	case <-k.ended:
		return
	}
	select {
	case err := <-answer:
		io.WriteString(conn, formatOutcome(err))
	case <-k.ended:
	}
}

// Requests to a keeper.
const (
	wordReload  = "reload\n"
	wordReplace = "replace\n"
	wordOptions = "options\n" // the mount's own; the answer is a list in JSON
)

// Reload has the keeper of the bpfviewfs at dir start a server from the program that is now at the keeper's
// path. It returns when the new server has taken over and the old one has answered its requests in work. If
// the new one cannot start, Reload returns that error, and the old one serves on.
func Reload(dir string) error {
	line, err := askKeeper(dir, wordReload)
	if err != nil {
		return err
	}
	if line == "" {
		return exit.With(exit.System, fmt.Errorf("reload %s: the keeper has ended", dir))
	}
	return parseOutcome(line)
}

// ReloadKeeper is Reload, and then has the keeper itself run the new program. Its process id stays.
func ReloadKeeper(dir string) error {
	line, err := askKeeper(dir, wordReplace)
	if err != nil {
		return err
	}
	if line != "" {
		return parseOutcome(line)
	}
	// The old program has ended without an answer. The new one listens when it has taken the mount up.
	for start := time.Now(); time.Since(start) < prepareLimit; time.Sleep(10 * time.Millisecond) {
		line, err := askKeeper(dir, wordOptions)
		if err == nil && line != "" {
			return nil
		}
		if _, err := place.Find(dir); err != nil && place.Gone(err) {
			return fmt.Errorf("reload %s: it was unmounted meanwhile: %w", dir, err)
		}
	}
	return exit.With(exit.System, fmt.Errorf("reload %s: the new keeper does not answer", dir))
}

// askKeeper returns the answer of the keeper of the bpfviewfs at dir, "" if the keeper ends first.
func askKeeper(dir, word string) (line string, err error) {
	at, err := place.Find(dir)
	if err != nil {
		return "", err
	}
	conn, err := net.Dial("unix", socketPath(at))
	if errors.Is(err, os.ErrPermission) {
		return "", exit.With(exit.Usage, fmt.Errorf("%s: ask its keeper: %w: run as root", dir, err))
	}
	if err != nil {
		return "", exit.With(exit.Usage,
			fmt.Errorf("%s: its keeper does not answer: %w: if it has died, mount again", dir, err))
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, word); err != nil {
		return "", exit.With(exit.System, fmt.Errorf("reload %s: %w", dir, err))
	}
	if line, err = bufio.NewReader(conn).ReadString('\n'); err != nil {
		return "", nil
	}
	return line, nil
}
