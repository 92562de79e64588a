package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func TestServe(t *testing.T) {
	m := serve(t, mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial)))
	if got := mounttest.Slurp(t, m.at("hello")); got != mounttest.Trivial {
		t.Errorf("read %q", got)
	}
	want := "src " + m.dir + " fuse.bpfviewfs ro,nosuid,nodev,noexec,relatime,user_id=0,group_id=0,default_permissions,allow_other,max_read=1048576 0 0\n"
	if got := mounttest.Line(t, m.dir); got != want {
		t.Errorf("/proc/mounts: %swant %s", got, want)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := m.end(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := mounttest.Line(t, m.dir); got != "" {
		t.Errorf("still mounted: %s", got)
	}
	if err := m.Unmount(); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := m.Invalidate(rootNode + 1); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("Invalidate after the end: %v", err)
	}
	if err := m.Ready(t.Context()); err == nil {
		t.Error("Ready after the end: no error")
	}
}

// A reply of more than 128 KiB goes in one piece.
func TestLargeRead(t *testing.T) {
	data := strings.Repeat("x", 1<<20)
	m := serve(t, mounttest.NewFS(mounttest.Direct("big", data)))
	fd, err := mounttest.Open(m.at("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 2<<20)
	if n, err := unix.Pread(fd, buf, 0); n != len(data) || err != nil {
		t.Errorf("pread: %d bytes, %v", n, err)
	}
}

func TestMountRefuses(t *testing.T) {
	testenv.NeedsRoot(t)
	mounttest.Leaks(t)
	m := serve(t, mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial)))
	file := filepath.Join(mounttest.TempDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(mounttest.TempDir(t), "link")
	if err := os.Symlink(m.dir, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, says string
	}{
		{m.dir, "mounted there already"},
		{link, "mounted there already"},
		{file, "not a directory"},
		{filepath.Join(file, "x"), "not a directory"},
		{filepath.Join(filepath.Dir(file), "missing"), "create the directory"},
		{"", "no such file"},
	} {
		_, _, err := mountHere("src", c.target)
		if err == nil || exit.Code(err) != exit.Mount || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, exit code %d; want %q and %d", c.target, err, exit.Code(err), c.says, exit.Mount)
		}
	}
	if got := mounttest.Slurp(t, m.at("hello")); got != mounttest.Trivial {
		t.Errorf("the first mount has suffered: %q", got)
	}
}

func TestStrangeNames(t *testing.T) {
	testenv.NeedsRoot(t)
	mounttest.Leaks(t)
	dir := filepath.Join(mounttest.TempDir(t), "a dir, with \"quotes\" \\ and\na newline")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const source = "a source, uid=0 # \\ and\na newline"
	c, kept, err := mountHere(source, dir)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- c.Serve(mounttest.NewFS(mounttest.Direct("hello", mounttest.Trivial)), nil) }()
	if got := mounttest.Slurp(t, filepath.Join(dir, "hello")); got != mounttest.Trivial {
		t.Errorf("read %q", got)
	}
	at, err := place.Find(dir)
	if err != nil || at.Target != dir || at.Source != source || at.Root != "/" {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := place.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-kept
}

// Of two mounts at once on one target, one at most is left.
func TestMountRace(t *testing.T) {
	testenv.NeedsRoot(t)
	mounttest.Leaks(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	type result struct {
		c   *Conn
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			c, _, err := mountHere("src", dir)
			if err == nil {
				go c.Serve(mounttest.NewFS(), nil)
			}
			results <- result{c, err}
		}()
	}
	var won []*Conn
	for range 4 {
		r := <-results
		if r.c != nil {
			won = append(won, r.c)
		} else if exit.Code(r.err) != exit.Mount {
			t.Errorf("%v", r.err)
		}
	}
	if n := mounttest.Count(t, dir); n != len(won) || n > 1 {
		t.Errorf("%d mounts, %d calls succeeded", n, len(won))
	}
	for _, c := range won {
		<-c.ready
		c.at.Unmount()
		select {
		case <-c.served:
		case <-time.After(mounttest.Hang):
			t.Fatal("Serve did not return")
		}
	}
	if got := mounttest.Line(t, dir); got != "" {
		t.Errorf("left: %s", got)
	}
}
