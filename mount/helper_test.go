package mount

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const hang = mounttest.Hang

// mounted is a served mount of a test.
type mounted struct {
	*Conn
	dir    string
	served chan error
	log    *logbook
}

// Unmount unmounts as a keeper does.
func (m *mounted) Unmount() error {
	detached, err := m.Conn.at.Unmount()
	if detached {
		m.log.Printf("busy: detached")
	}
	return err
}

// at opens a file by unix.Open. os.Open would register it with the runtime's poller in a call that keeps the
// processor from the server, which is in this process.
func (m *mounted) at(name string) string { return filepath.Join(m.dir, name) }

// serve mounts fs on a new directory and takes it down when the test ends.
func serve(tb testing.TB, fs fuse.RawFileSystem) *mounted {
	tb.Helper()
	testenv.NeedsRoot(tb)
	leaks(tb)
	m := &mounted{dir: tempDir(tb), served: make(chan error, 1), log: &logbook{}}
	c, kept, err := mountHere(Options{Source: "src", Target: m.dir})
	if err != nil {
		tb.Fatal(err)
	}
	m.Conn = c
	c.Logf = m.log.Printf
	go func() {
		err := c.Serve(fs, &fuse.MountOptions{DisableReadDirPlus: true})
		<-kept
		m.served <- err
	}()
	tb.Cleanup(func() {
		if err := m.Unmount(); err != nil {
			tb.Error(err)
		}
		select {
		case <-m.served:
		case <-time.After(hang):
			tb.Error("Serve did not return; aborting:", c.at.Abort())
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		tb.Fatal(err)
	}
	return m
}

// mountHere mounts, and is the keeper of a server in this process, so that a test sees the requests to its
// filesystem. kept is closed at the end of the mount.
func mountHere(o Options) (c *Conn, kept <-chan struct{}, err error) {
	at, err := place.Prepare(o.Target)
	if err != nil {
		return nil, nil, err
	}
	c = newConn(at.FD())
	c.at = at
	near, far, err := wire.New()
	if err == nil {
		c.keeper, err = wire.Open(far)
	}
	if err == nil {
		c.state, err = handoff.NewState()
	}
	if err == nil {
		err = at.Attach(o.Source, o.Flags)
	}
	if err == nil {
		err = c.state.SetInfo(at.Info())
	}
	giveBack := func() {
		near.Close()
		c.keeper.Close()
		c.state.File().Close()
	}
	if err != nil {
		giveBack()
		c.close()
		at.ClearDead()
		return nil, nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer giveBack()
		for {
			switch m, err := near.Receive(); {
			case err != nil:
				return
			case m.Word == wire.Prepared:
				near.Send(wire.Message{Word: wire.Go, Order: wire.Order{Take: true}})
			case m.Word == wire.Ended:
				if m.Error != "" {
					<-c.served // it knows where the mount is since it began
					at.Unmount()
				}
				return
			}
		}
	}()
	return c, ended, nil
}

// end waits for Serve to return.
func (m *mounted) end(tb testing.TB) error {
	tb.Helper()
	select {
	case err := <-m.served:
		m.served <- nil // for the clean-up
		return err
	case <-time.After(hang):
		tb.Fatal("Serve did not return")
	}
	return nil
}

// Names of mounttest.
var (
	tempDir, leaks, countFDs, listFDs = mounttest.TempDir, mounttest.Leaks, mounttest.CountFDs, mounttest.ListFDs

	eventually, slurp, readAll, open = mounttest.Eventually, mounttest.Slurp, mounttest.ReadAll, mounttest.Open
	line, unmountAfter, drainFD      = mounttest.Line, mounttest.UnmountAfter, mounttest.Drain
)

type logbook = mounttest.Logbook
