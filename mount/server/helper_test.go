package server

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

// mounted is a served mount of a test.
type mounted struct {
	*Conn
	dir    string
	served chan error
	log    *mounttest.Logbook
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
	mounttest.Leaks(tb)
	m := &mounted{dir: mounttest.TempDir(tb), served: make(chan error, 1), log: &mounttest.Logbook{}}
	c, kept, err := mountHere("src", m.dir)
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
		case <-time.After(mounttest.Hang):
			tb.Error("Serve did not return; aborting:", c.at.Abort())
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), mounttest.Hang)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		tb.Fatal(err)
	}
	return m
}

// mountHere mounts, and is the keeper of a server in this process, so that a test sees the requests to its
// filesystem. kept is closed at the end of the mount.
func mountHere(source, target string) (c *Conn, kept <-chan struct{}, err error) {
	at, err := place.Prepare(target)
	if err != nil {
		return nil, nil, err
	}
	c = newConn(-1)
	c.at = at
	near, far, err := wire.New()
	if err == nil {
		c.keeper, err = wire.Open(far)
	}
	if err == nil {
		c.requests, err = handoff.NewMemory()
	}
	if err == nil {
		err = at.Attach(source, 0)
	}
	if err == nil {
		err = c.requests.SetInfo(at.Info())
	}
	giveBack := func() {
		near.Close()
		c.keeper.Close()
		c.requests.File().Close()
	}
	if err != nil {
		giveBack()
		at.Close()
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
	case <-time.After(mounttest.Hang):
		tb.Fatal("Serve did not return")
	}
	return nil
}
