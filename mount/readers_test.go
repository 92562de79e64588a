package mount

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// The ways a reader can take.
var readers = []struct {
	name   string
	cached bool // goes through the page cache
	read   func(fd int, size int) ([]byte, error)
}{
	{"read", false, func(fd, _ int) ([]byte, error) { return drainFD(fd) }},
	{"pread", false, func(fd, size int) ([]byte, error) {
		buf := make([]byte, size+1)
		n, err := unix.Pread(fd, buf, 0)
		return buf[:max(n, 0)], err
	}},
	{"mmap-private", true, mapped(unix.MAP_PRIVATE)},
	{"mmap-shared", true, mapped(unix.MAP_SHARED)},
	{"splice", true, spliced},
	{"sendfile", true, sentFile},
}

func common(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func drainFD(fd int) ([]byte, error) {
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return all, err
		}
		all = append(all, buf[:n]...)
	}
}

func mapped(flags int) func(int, int) ([]byte, error) {
	return func(fd, size int) ([]byte, error) {
		m, err := unix.Mmap(fd, 0, size, unix.PROT_READ, flags)
		if err != nil {
			return nil, err
		}
		defer unix.Munmap(m)
		// A page fault in Go code would keep a processor from the server, which is in this process; one inside a system
		// call does not.
		done := 0
		return into(func(to int) (int, error) {
			n, err := unix.Write(to, m[done:])
			done += max(n, 0)
			return n, err
		})
	}
}

func spliced(fd, size int) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer w.Close()
	var all []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Splice(fd, nil, int(w.Fd()), nil, 1<<16, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return all, err
		}
		if _, err := unix.Read(int(r.Fd()), buf[:n]); err != nil {
			return all, err
		}
		all = append(all, buf[:n]...)
	}
}

func sentFile(fd, size int) ([]byte, error) {
	return into(func(to int) (int, error) { return unix.Sendfile(to, fd, nil, 1<<20) })
}

func into(copy func(to int) (int, error)) ([]byte, error) {
	to, err := os.CreateTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	for {
		n, err := copy(int(to.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return os.ReadFile(to.Name())
		}
	}
}
