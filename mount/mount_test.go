package mount

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

func TestServe(t *testing.T) {
	m := serve(t, newFS(direct("hello", trivial)))
	if got := slurp(t, m.at("hello")); got != trivial {
		t.Errorf("read %q", got)
	}
	want := "src " + m.dir + " fuse.bpfviewfs ro,nosuid,nodev,noexec,relatime,user_id=0,group_id=0,default_permissions,allow_other,max_read=1048576 0 0\n"
	if got := line(t, m.dir); got != want {
		t.Errorf("/proc/mounts: %swant %s", got, want)
	}
	if err := m.Unmount(); err != nil {
		t.Fatal(err)
	}
	if err := m.end(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if got := line(t, m.dir); got != "" {
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
	m := serve(t, newFS(direct("big", data)))
	fd, err := open(m.at("big"))
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
	leaks(t)
	m := serve(t, newFS(direct("hello", trivial)))
	file := filepath.Join(tempDir(t), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(tempDir(t), "link")
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
		_, _, err := mountHere(Options{Source: "src", Target: c.target})
		if err == nil || exit.Code(err) != exit.Mount || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, exit code %d; want %q and %d", c.target, err, exit.Code(err), c.says, exit.Mount)
		}
	}
	if got := slurp(t, m.at("hello")); got != trivial {
		t.Errorf("the first mount has suffered: %q", got)
	}
}

func TestMountNeedsRoot(t *testing.T) {
	testenv.NeedsRoot(t)
	cmd := child("ours", tempDir(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exit.Usage || !strings.Contains(string(out), "must be root") {
		t.Errorf("%v, exit code %d: %s", err, cmd.ProcessState.ExitCode(), out)
	}
}

func TestStrangeNames(t *testing.T) {
	testenv.NeedsRoot(t)
	leaks(t)
	dir := filepath.Join(tempDir(t), "a dir, with \"quotes\" \\ and\na newline")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const source = "a source, uid=0 # \\ and\na newline"
	c, kept, err := mountHere(Options{Source: source, Target: dir})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- c.Serve(newFS(direct("hello", trivial)), nil) }()
	if got := slurp(t, filepath.Join(dir, "hello")); got != trivial {
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
	leaks(t)
	dir := tempDir(t)
	unmountAfter(t, dir)
	type result struct {
		c   *Conn
		err error
	}
	results := make(chan result)
	for range 4 {
		go func() {
			c, _, err := mountHere(Options{Source: "src", Target: dir})
			if err == nil {
				go c.Serve(newFS(), nil)
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
	list, err := place.List()
	if n := count(list, dir); err != nil || n != len(won) || n > 1 {
		t.Errorf("%d mounts, %d calls succeeded, %v", n, len(won), err)
	}
	for _, c := range won {
		<-c.ready
		c.at.Unmount()
		select {
		case <-c.served:
		case <-time.After(hang):
			t.Fatal("Serve did not return")
		}
	}
	if got := line(t, dir); got != "" {
		t.Errorf("left: %s", got)
	}
}
