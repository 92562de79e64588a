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
)

// reload is a request for a server from the program that is now where ours was. The outcome goes to answer, or to
// the log where that is nil.
type reload struct {
	answer chan<- error
	keeper bool // then the keeper is to run the new program, too
}

// upgrade begins the next reload that waits, when nothing else changes.
func (k *Keeper) upgrade() {
	switch {
	case k.upgrades && k.serving != nil && k.serving.serves && k.next == nil && k.leaving == nil:
		k.done(nil)
	case k.upgrades:
		return
	}
	if len(k.reloads) == 0 || k.next != nil || k.leaving != nil || k.serving != nil && !k.serving.serves {
		return
	}
	k.upgrades = true
	k.blame = blame{}
	exe, err := os.Open(k.path)
	if err == nil {
		k.retry = nil
		err = k.start(exe)
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
		// The new program runs, as this server shows. The one in the keeper's place starts another.
		k.replacing = true
		k.serving.Kill()
		return
	}
	switch {
	case r.answer != nil:
		r.answer <- err
	case err != nil:
		k.Logf("%v", err)
	}
}

// socketDir holds a socket for every keeper, named by its mount's device number. Only root gets there.
const socketDir = "/run/bpfviewfs"

func socketPath(at Info) string {
	return filepath.Join(socketDir, fmt.Sprintf("%d:%d", at.Major, at.Minor))
}

// listen takes requests until the keeper ends: one line in, one line out (see parseOutcome).
func (k *Keeper) listen() error {
	if err := os.Mkdir(socketDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	path := socketPath(k.conn.at)
	os.Remove(path) // of a mount that had the number before
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	// The number is free from the unmount on: when this keeper ends the path may be the next mount's.
	socket.SetUnlinkOnClose(false)
	ours, err := os.Lstat(path)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	go func() {
		<-k.ended
		if now, err := os.Lstat(path); err == nil && os.SameFile(ours, now) {
			os.Remove(path)
		}
		socket.Close()
	}()
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

// What a keeper may be asked for.
const (
	wordReload  = "reload\n"
	wordReplace = "replace\n"
	wordOptions = "options\n" // our own; the answer is a list in JSON
)

// Reload has the keeper of the bpfviewfs at dir start a server from the program that is now at the path the keeper was
// started from. It returns when the new server has taken over and the old one has answered what it had in work. If the new one
// cannot start, that is the error, and the old one serves on.
func Reload(dir string) error {
	_, line, err := askKeeper(dir, wordReload)
	if err != nil {
		return err
	}
	if line == "" {
		return WithCode(ExitSystem, fmt.Errorf("reload %s: the keeper has ended", dir))
	}
	return parseOutcome(line)
}

// ReloadKeeper is Reload, and has the keeper itself run the new program after that. Its process id stays.
func ReloadKeeper(dir string) error {
	path, line, err := askKeeper(dir, wordReplace)
	if err != nil {
		return err
	}
	if line != "" {
		return parseOutcome(line)
	}
	// The old program has ended without an answer. The new one listens when it has taken the mount up.
	for start := time.Now(); time.Since(start) < prepareLimit; time.Sleep(10 * time.Millisecond) {
		if again, err := net.Dial("unix", path); err == nil {
			return again.Close()
		}
	}
	return WithCode(ExitSystem, fmt.Errorf("reload %s: the new keeper does not answer", dir))
}

// askKeeper gives what the keeper of the bpfviewfs at dir answers, "" if it ends before, and the path of its socket.
func askKeeper(dir, word string) (path, line string, err error) {
	at, err := Find(dir)
	if err != nil {
		return "", "", err
	}
	path = socketPath(at)
	conn, err := net.Dial("unix", path)
	if err != nil {
		return path, "", WithCode(ExitUsage, fmt.Errorf("%s: its keeper does not answer: %w: if it has died, mount again", dir, err))
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, word); err != nil {
		return path, "", WithCode(ExitSystem, fmt.Errorf("reload %s: %w", dir, err))
	}
	if line, err = bufio.NewReader(conn).ReadString('\n'); err != nil {
		return path, "", nil
	}
	return path, line, nil
}
