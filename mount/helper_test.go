package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A test that waits longer than this has found a hang.
const hang = 20 * time.Second

// mounted is a served mount of a test.
type mounted struct {
	*Conn
	dir    string
	served chan error
	log    *logbook
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
	c.Logf = m.log.printf
	go func() {
		err := c.Serve(fs, &fuse.MountOptions{DisableReadDirPlus: true})
		<-kept
		m.served <- err
	}()
	tb.Cleanup(func() {
		if err := c.Unmount(); err != nil {
			tb.Error(err)
		}
		select {
		case <-m.served:
		case <-time.After(hang):
			tb.Error("Serve did not return; aborting:", c.Abort())
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
	target, fd, err := begin(o.Target)
	if err != nil {
		return nil, nil, err
	}
	c = newConn(fd)
	near, far, err := newWire()
	if err == nil {
		c.keeper, err = openWire(far)
	}
	if err == nil {
		c.state, err = newState()
	}
	if err == nil {
		err = c.attach(o, target)
	}
	if err == nil {
		err = c.state.setInfo(c.at)
	}
	giveBack := func() {
		near.close()
		c.keeper.close()
		c.state.file.Close()
	}
	if err != nil {
		giveBack()
		c.close()
		clearDead(target)
		return nil, nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer giveBack()
		for {
			switch m, err := near.receive(); {
			case err != nil:
				return
			case m.Word == wordPrepared:
				near.send(message{Word: wordGo, Order: order{Take: true}})
			case m.Word == wordEnded:
				if m.Error != "" {
					<-c.served // it knows where the mount is since it began
					c.Unmount()
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

// tempDir is t.TempDir without symbolic links in its path, and open to every user.
func tempDir(tb testing.TB) string {
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// leaks fails the test if it ends with more descriptors or goroutines than at its start.
func leaks(tb testing.TB) {
	fds, goroutines := countFDs(), runtime.NumGoroutine()
	tb.Cleanup(func() {
		eventually(tb, func() bool { return countFDs() <= fds && runtime.NumGoroutine() <= goroutines },
			func() string {
				buf := make([]byte, 1<<20)
				return "leak: " + strings.Join(listFDs(), " ") + "\n" + string(buf[:runtime.Stack(buf, true)])
			})
	})
}

func countFDs() int { return len(listFDs()) }

func listFDs() (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") {
			list = append(list, e.Name()+"->"+to)
		}
	}
	return list
}

// eventually waits for a condition that the test does not control.
func eventually(tb testing.TB, ok func() bool, what func() string) {
	tb.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > hang {
			tb.Error(what())
			return
		}
	}
}

// slurp reads a file to its end with read(2).
func slurp(tb testing.TB, path string) string {
	tb.Helper()
	text, err := readAll(path)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return text
}

func readAll(path string) (string, error) {
	fd, err := open(path)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var all []byte
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return string(all), err
		}
		all = append(all, buf[:n]...)
	}
}

// open retries EINTR, because the Go runtime's own signals interrupt system calls on FUSE files.
func open(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

type logbook struct {
	mu    sync.Mutex
	lines []string
}

func (l *logbook) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
