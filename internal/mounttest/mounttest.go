// Package mounttest helps tests with mounts.
package mounttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Hang is how long a test waits. If it takes longer, it has found a hang.
const Hang = time.Minute

// TempDir is t.TempDir without symbolic links in its path, and open to every user.
func TempDir(tb testing.TB) string {
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Leaks fails the test if it ends with more descriptors or goroutines than at its start.
func Leaks(tb testing.TB) {
	fds, goroutines := CountFDs(), runtime.NumGoroutine()
	tb.Cleanup(func() {
		none := func() bool { return CountFDs() <= fds && runtime.NumGoroutine() <= goroutines }
		Eventually(tb, none, func() string {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			return fmt.Sprintf("leak: %s\n%s", strings.Join(ListFDs(), " "), stacks)
		})
	})
}

// CountFDs counts the open descriptors of this process.
func CountFDs() int { return len(ListFDs()) }

// ListFDs lists them, each with its file, without those of the runtime.
func ListFDs() (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:[event") {
			list = append(list, e.Name()+"->"+to)
		}
	}
	return list
}

// Eventually waits for a condition that the test does not control.
func Eventually(tb testing.TB, ok func() bool, what func() string) {
	tb.Helper()
	for start := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(start) > Hang {
			tb.Error(what())
			return
		}
	}
}

// Slurp reads a file to its end with read(2).
func Slurp(tb testing.TB, path string) string {
	tb.Helper()
	text, err := ReadAll(path)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	return text
}

// ReadAll is Slurp with its error.
func ReadAll(path string) (string, error) {
	fd, err := Open(path)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	all, err := Drain(fd)
	return string(all), err
}

// Drain reads an open file to its end with read(2).
func Drain(fd int) ([]byte, error) {
	var all []byte
	buf := make([]byte, 128<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return all, err
		}
		all = append(all, buf[:n]...)
	}
}

// Open opens a file for reading. It retries EINTR, because the Go runtime's own signals interrupt system calls
// on FUSE files.
func Open(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// Line returns the line of /proc/mounts for dir, "" if nothing is mounted there.
func Line(tb testing.TB, dir string) string {
	tb.Helper()
	if found := lines(tb, dir); len(found) > 0 {
		return found[0]
	}
	return ""
}

// Count returns how many mounts are stacked at dir.
func Count(tb testing.TB, dir string) int {
	tb.Helper()
	return len(lines(tb, dir))
}

func lines(tb testing.TB, dir string) (found []string) {
	tb.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		tb.Fatal(err)
	}
	for l := range strings.Lines(string(mounts)) {
		if strings.Fields(l)[1] == dir {
			found = append(found, l)
		}
	}
	return found
}

// UnmountAfter takes any mount at dir away when the test ends.
func UnmountAfter(tb testing.TB, dir string) {
	tb.Cleanup(func() {
		for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		}
	})
}

// Logbook keeps the lines of a log.
type Logbook struct {
	mu    sync.Mutex
	lines []string
}

// Printf keeps a line.
func (l *Logbook) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *Logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
