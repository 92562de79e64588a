package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

var errNotWhole = errors.New("a result is not whole")

// ways to read, with the mount's directory of a cgroup that stays. lap ends an operation.
var ways = []struct {
	name string
	read func(k *soak, dir string, lap func()) error
}{
	{"read", readViews},
	{"pread at 0", preads},
	{"read 7 bytes at a time", smallReads},
	{"copy", copyViews},
	{"walk", walk},
	{"renderings", renderings},
	{"a cgroup that comes and goes", passing},
	{"about the mount", about},
}

// reader is one of root's readers.
func (k *soak) reader(i int) func(<-chan struct{}) error {
	return func(done <-chan struct{}) error {
		way := ways[i%len(ways)]
		dir := fmt.Sprintf("%s/%s/c%d", k.server.Dir, k.top, i%cgroups)
		return every(20*time.Millisecond, done, func(int) error {
			begin := time.Now()
			lap := func() {
				k.counts.done(way.name, time.Since(begin))
				begin = time.Now()
			}
			if err := way.read(k, dir, lap); err != nil {
				var errno unix.Errno
				errors.As(err, &errno)
				k.counts.fail(way.name, 1, errno, err)
			}
			return nil
		})
	}
}

var views = []string{"cpu", "tasks", "psi", "cgroup", "runqlat", "reclaim", "maps"}

// whole checks text: it has lines, and the last one ends.
func whole(path string, text []byte) error {
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return fmt.Errorf("%s: %d bytes: %w", path, len(text), errNotWhole)
	}
	return nil
}

func readViews(_ *soak, dir string, lap func()) error {
	for _, view := range views {
		text, err := os.ReadFile(dir + "/" + view)
		lap()
		if err := errors.Join(err, whole(dir+"/"+view, text)); err != nil {
			return err
		}
	}
	return nil
}

func preads(_ *soak, dir string, lap func()) error {
	f, err := os.Open(dir + "/cpu")
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<16)
	for range 20 {
		n, err := unix.Pread(int(f.Fd()), buf, 0)
		lap()
		if err := errors.Join(err, whole(f.Name(), buf[:max(n, 0)])); err != nil {
			return err
		}
	}
	return nil
}

func smallReads(_ *soak, dir string, lap func()) error {
	f, err := os.Open(dir + "/psi")
	if err != nil {
		return err
	}
	defer f.Close()
	var text []byte
	for buf := make([]byte, 7); ; {
		n, err := f.Read(buf)
		lap()
		text = append(text, buf[:n]...)
		if err == io.EOF {
			return whole(f.Name(), text)
		} else if err != nil {
			return err
		}
	}
}

// copyViews copies as Go does it, which tries copy_file_range and splice first.
func copyViews(k *soak, dir string, lap func()) error {
	to, err := os.CreateTemp(k.stage.Dir, "copy")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	from, err := os.Open(dir + "/psi")
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	lap()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(to.Name())
	return errors.Join(err, whole(from.Name(), text))
}

// isGone reports an error of a cgroup or view that is gone. ESTALE means that the cgroup was removed, made
// again and removed while one open walked the path: the kernel tries it twice.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESTALE)
}

func walk(k *soak, _ string, lap func()) error {
	return filepath.WalkDir(k.server.Dir+"/"+k.top, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			_, err = d.Info()
		}
		lap()
		if isGone(err) {
			return nil
		}
		return err
	})
}

func renderings(k *soak, dir string, lap func()) error {
	for _, file := range []string{dir + "/.bpfview/json/psi.json",
		filepath.Dir(dir) + "/.bpfview/tree/cpu.json"} {
		text, err := os.ReadFile(file)
		lap()
		if err := errors.Join(err, whole(file, text)); err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if !json.Valid(line) {
				return fmt.Errorf("%s: %q: %w", file, line, errNotWhole)
			}
		}
	}
	prom := dir + "/.bpfview/prom/cpu.prom"
	text, err := os.ReadFile(prom)
	if err := errors.Join(err, whole(prom, text)); err != nil {
		return err
	}
	raw, err := os.ReadFile(dir + "/.bpfview/raw/cpu")
	if err == nil && len(raw) == 0 {
		err = errNotWhole
	}
	return err
}

// passing reads in a cgroup and of views that may be gone at any moment.
func passing(_ *soak, dir string, lap func()) error {
	for _, file := range []string{filepath.Dir(dir) + "/passing/cpu", dir + "/says", dir + "/walk"} {
		text, err := os.ReadFile(file)
		lap()
		if err == nil && len(text) > 0 {
			err = whole(file, text)
		}
		if err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}

func about(k *soak, _ string, lap func()) error {
	for _, name := range []string{"views", "version", "metrics", "status.json"} {
		file := k.server.Dir + "/.bpfview/" + name
		text, err := os.ReadFile(file)
		lap()
		if err := errors.Join(err, whole(file, text)); err != nil {
			return err
		}
	}
	_, err := os.Readlink(k.server.Dir + "/.bpfview/self")
	return err
}
