package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/fs"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/mount"
	"bpfviewfs/mount/server"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// serveVar makes this test binary serve made-up views at a directory, so that a reader's bytes can be checked
// exactly.
const serveVar = "BPFVIEWFS_TEST_SERVE"

// keepMadeUp is the process that mounts, and starts this binary again to serve.
func keepMadeUp(dir string) error {
	keeper := mount.Keeper{
		Options: mount.Options{Source: "made-up", Target: dir, Foreground: true},
		Args:    []string{"made-up"},
		View:    fs.ViewNumber,
		Logf:    log.New(io.Discard, "", 0).Printf,
	}
	return keeper.Run(func(err error) error {
		if err == nil {
			fmt.Println("ready")
		}
		return err
	})
}

// serveMadeUp serves these views:
//
//   - lines: each run is a random number of lines "n of LENGTH".
//   - slow: a run takes a minute, or ends when no reader waits for it.
//   - stubborn: a run takes five seconds in any case.
//   - empty, large (10 MB), and steady, which never changes.
//   - growing: each run begins with its size.
//   - requests: counts the requests.
//   - crash: a run ends the server, after it has written a byte to the file crashesOf.
func serveMadeUp() error {
	h, err := cgroups.Open("cgroup2")
	if err != nil {
		return err
	}
	conn, err := server.Inherit()
	if err != nil {
		return err
	}
	var n, grown atomic.Int64
	tree := fs.New(fs.Config{Hierarchy: h, Kernel: conn, Version: "made-up", Status: func() any {
		return conn.Status()
	}})
	if err := tree.Inherit(conn.Memory()); err != nil {
		return err
	}
	c := &counter{FS: tree}
	err = tree.SetViews([]fs.View{
		{Name: "lines", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			id, count := n.Add(1), rand.IntN(600)
			for range count {
				dst = fmt.Appendf(dst, "%d of %d\n", id, count)
			}
			return dst, nil
		}},
		{Name: "slow", Run: func(ctx context.Context, _ uint64, dst []byte) ([]byte, error) {
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
			return dst, ctx.Err()
		}},
		{Name: "stubborn", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			time.Sleep(5 * time.Second)
			return dst, nil
		}},
		{Name: "steady", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			return append(dst, steady...), nil
		}},
		{Name: "growing", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			size := growing[int(grown.Add(1))%len(growing)]
			start := len(dst)
			dst = append(append(dst, fmt.Sprintln(size)...), make([]byte, size)...)
			return dst[:start+size], nil
		}},
		{Name: "requests", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			return fmt.Appendln(dst, c.lookup.Load(), c.getattr.Load(), c.open.Load(),
				c.read.Load()), nil
		}},
		{Name: "empty", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			return dst, nil
		}},
		{Name: "large", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			return append(dst, large()...), nil
		}},
		{Name: "crash", Run: func(_ context.Context, _ uint64, dst []byte) ([]byte, error) {
			file := crashesOf(os.Getenv(serveVar))
			if f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
				f.WriteString("x")
			}
			os.Exit(7)
			return dst, nil
		}},
	})
	if err != nil {
		return err
	}
	return conn.Serve(c, tree.Options())
}

// crashesOf is a file beside a mount of these views.
func crashesOf(dir string) string { return dir + ".crashes" }

// steady is the output of the view of that name. growing has the sizes of the runs of the view of that name,
// in turn.
const steady = "the same as ever\n"

var growing = []int{200, 3 << 20, 10, 2<<20 + 1, 5 << 20, 4096}

// counter counts requests.
type counter struct {
	*fs.FS
	lookup, getattr, open, read atomic.Int64
}

func (c *counter) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string,
	out *fuse.EntryOut) fuse.Status {
	c.lookup.Add(1)
	return c.FS.Lookup(cancel, h, name, out)
}

func (c *counter) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.getattr.Add(1)
	return c.FS.GetAttr(cancel, in, out)
}

func (c *counter) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c.open.Add(1)
	return c.FS.Open(cancel, in, out)
}

func (c *counter) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	c.read.Add(1)
	return c.FS.Read(cancel, in, buf)
}

func (c *counter) ReadInto(cancel <-chan struct{}, decide func() bool, in *fuse.ReadIn, buf []byte) ([]byte,
	interface{ Done() }, fuse.Status) {
	c.read.Add(1)
	return c.FS.ReadInto(cancel, decide, in, buf)
}

func large() string {
	var b strings.Builder
	for i := range 1 << 20 {
		fmt.Fprintf(&b, "%9d\n", i)
	}
	return b.String()
}

// mountMadeUp mounts the views of serveMadeUp.
func mountMadeUp(t *testing.T) (dir string) {
	dir, _ = keptMadeUp(t)
	return dir
}

// keptMadeUp is mountMadeUp with the keeper's process.
func keptMadeUp(t *testing.T) (dir string, keeper *os.Process) {
	t.Helper()
	testenv.NeedsRoot(t)
	dir = t.TempDir()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serveVar+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Unmount(dir, unix.MNT_DETACH) // a reader may be left after a failure
		if err := cmd.Wait(); err != nil {
			t.Errorf("keeper: %v", err)
		}
		os.Remove(dir)
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("keeper: %q %v", line, err)
	}
	return dir, cmd.Process
}

// TestExactly has many readers of a view that never gives the same twice. They use read, splice and sendfile
// at once.
func TestExactly(t *testing.T) {
	dir := mountMadeUp(t)
	reads := 1000
	if testing.Short() {
		reads = 100
	}
	var seen sync.Map
	var readers sync.WaitGroup
	for i := range 9 {
		copier := []func(*os.File) (string, error){byRead, bySplice, bySendfile}[i%3]
		readers.Go(func() {
			for range reads {
				f, err := os.Open(dir + "/lines")
				if err != nil {
					t.Error(err)
					return
				}
				text, err := copier(f)
				fi, statErr := f.Stat()
				f.Close()
				// The size is that of some reader's run.
				if err != nil || statErr != nil || fi.Size() == 0 {
					t.Errorf("reader %d: %d bytes, fstat says %v: %v %v",
						i, len(text), fi, err, statErr)
					return
				}
				line, _, _ := strings.Cut(text, "\n")
				var id, count int
				fmt.Sscanf(line, "%d of %d", &id, &count)
				if text != strings.Repeat(line+"\n", count) {
					t.Errorf("reader %d: run %d of %d lines is not whole and pure",
						i, id, count)
				}
				if _, twice := seen.LoadOrStore(id, true); twice && count > 0 {
					t.Errorf("reader %d: run %d was read before", i, id)
				}
			}
		})
	}
	readers.Wait()
}

// TestSharedNode opens one node twice, as /proc/self/fd does. read(2) stays exact.
func TestSharedNode(t *testing.T) {
	dir := mountMadeUp(t)
	for range 100 {
		a, err := os.Open(dir + "/lines")
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", a.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*os.File{b, a} {
			text, err := byRead(f)
			line, _, _ := strings.Cut(text, "\n")
			var id, count int
			fmt.Sscanf(line, "%d of %d", &id, &count)
			if err != nil || text != strings.Repeat(line+"\n", count) {
				t.Errorf("run %d of %d lines is not whole (%v)", id, count, err)
			}
			f.Close()
		}
	}
}

func TestLargeAndEmpty(t *testing.T) {
	dir := mountMadeUp(t)
	for name, want := range map[string]string{"large": large(), "empty": ""} {
		for i, copier := range []func(*os.File) (string, error){byRead, bySplice, bySendfile} {
			f, err := os.Open(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := copier(f); err != nil || got != want {
				t.Errorf("%s by way %d: %d bytes (%v), want %d",
					name, i, len(got), err, len(want))
			}
			f.Close()
		}
	}
	// A read from the middle, and again from the start of the same file, is a new run with the same
	// bytes.
	f, _ := os.Open(dir + "/large")
	defer f.Close()
	for _, at := range []int64{5 << 20, 0, 0} {
		f.Seek(at, io.SeekStart)
		if got, err := io.ReadAll(f); err != nil || string(got) != large()[at:] {
			t.Errorf("from %d: %d bytes (%v)", at, len(got), err)
		}
	}
}

// TestInterrupt interrupts readers of a view that takes a minute. None of them may outlive its signal, or
// keep other readers from reading.
func TestInterrupt(t *testing.T) {
	dir := mountMadeUp(t)
	for view, signal := range map[string]syscall.Signal{"slow": unix.SIGKILL, "stubborn": unix.SIGTERM} {
		var readers []*exec.Cmd
		// more than run at once for one user, so that some wait for their turn
		for i := range 20 {
			cmd := exec.Command("cat", dir+"/"+view)
			if i%2 == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Credential: &syscall.Credential{Uid: 0, Gid: 12}}
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			readers = append(readers, cmd)
		}
		for _, cmd := range readers {
			eventually(t, "it waits for the run", func() bool {
				wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", cmd.Process.Pid))
				return strings.Contains(string(wchan), "fuse")
			})
		}
		for _, cmd := range readers {
			cmd.Process.Signal(signal)
		}
		for _, cmd := range readers {
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-ended:
			case <-time.After(4 * time.Second):
				t.Fatalf("%s: a reader is still there after %v", view, signal)
			}
		}
	}
	// The abandoned runs have ended; otherwise no new one could begin.
	f, err := os.Open(dir + "/lines")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestOtherUsersRuns holds that the slow runs of one user do not stop the runs of another user.
func TestOtherUsersRuns(t *testing.T) {
	dir := mountMadeUp(t)
	for range 100 {
		cmd := exec.Command("cat", dir+"/slow")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
	}
	cmd := exec.Command("cat", dir+"/.bpfview/views")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	os.Chmod(dir+"/..", 0o755)
	os.Chmod(dir+"/../..", 0o755)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "slow") {
		t.Errorf("%v: %s", err, out)
	}
}
