package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/wire"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// The tests here drive the built command with mount(8), coreutils and other programs that read files. They
// build it, or take it from $BPFVIEWFS if there is no compiler.
var (
	command    = os.Getenv("BPFVIEWFS")
	buildFlags = []string{"-buildvcs=false", "-ldflags=-X main.version=test"}
)

// roleVar makes this test binary a process that a test wants in a cgroup.
const roleVar = "BPFVIEWFS_TEST_THREADS"

// roleOf is the work of this process in place of testing.
func roleOf() func() error {
	if dir := os.Getenv(readVar); dir != "" {
		return func() error { return readForTest(dir) }
	}
	if os.Getenv(burstsVar) != "" {
		return bursts
	}
	dir := os.Getenv(serveVar)
	switch {
	case dir == "":
		return nil
	case os.Getenv(wire.KeeperVar) != "":
		return serveMadeUp
	}
	return func() error { return keepMadeUp(dir) }
}

func TestMain(m *testing.M) {
	if n := os.Getenv(roleVar); n != "" {
		sleepWithThreads(n)
	}
	if role := roleOf(); role != nil {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(func() int {
		if command == "" {
			dir, err := os.MkdirTemp("", "bpfviewfs")
			if err != nil {
				panic(err)
			}
			defer os.RemoveAll(dir)
			command = filepath.Join(dir, "bpfviewfs")
			args := append(append([]string{"build", "-o", command}, buildFlags...), ".")
			if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
				return 1
			}
		}
		release, err := mounttest.Leash()
		if err != nil {
			panic(err)
		}
		defer release()
		defer unpin()()
		return m.Run()
	}())
}

// unpin removes the mounts' pins in the usual registry when the tests are over, if there were none before.
func unpin() func() {
	if _, err := os.Stat(registry); err == nil {
		return func() {}
	}
	return func() { os.RemoveAll(registry) }
}

// sleepWithThreads says "ready" when it has n threads beside its first, and sleeps until its stdin ends. It
// takes each line from there as its name, and says "ready" again.
func sleepWithThreads(count string) {
	n, _ := strconv.Atoi(count)
	debug.SetMaxThreads(n + 100)
	started := make(chan struct{})
	for range n {
		go func() {
			runtime.LockOSThread()
			started <- struct{}{}
			select {}
		}()
	}
	for range n {
		<-started
	}
	fmt.Println("ready")
	for names := bufio.NewScanner(os.Stdin); names.Scan(); fmt.Println("ready") {
		os.WriteFile("/proc/self/comm", names.Bytes(), 0)
	}
	os.Exit(0)
}

// cgroup2 is where the cgroup2 hierarchy is mounted.
func cgroup2(t testing.TB) string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil || len(mounts) == 0 {
		t.Fatalf("no cgroup2 mount: %v", err)
	}
	return mounts[0].Mountpoint
}

// cgroup is a cgroup of the test, with the paths of its directory in cgroupfs and in the mirror.
type cgroup struct {
	t            testing.TB
	path, mirror string
	fd           int
}

// newCgroup makes a cgroup below the top of the cgroup2 hierarchy that is mirrored at dir.
func newCgroup(t testing.TB, dir string) *cgroup {
	t.Helper()
	name := fmt.Sprintf("bpfviewfs-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	return (&cgroup{t: t, path: cgroup2(t), mirror: dir, fd: -1}).child(name)
}

func (c *cgroup) child(name string) *cgroup {
	c.t.Helper()
	if err := os.Mkdir(c.path+"/"+name, 0o755); err != nil {
		c.t.Fatal(err)
	}
	sub := c.open(name)
	c.t.Cleanup(sub.remove)
	return sub
}

// open is an existing cgroup below, which the test does not remove.
func (c *cgroup) open(name string) *cgroup {
	c.t.Helper()
	sub := &cgroup{t: c.t, path: c.path + "/" + name, mirror: c.mirror + "/" + name}
	fd, err := unix.Open(sub.path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	sub.fd = fd
	c.t.Cleanup(sub.close)
	return sub
}

func (c *cgroup) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.fd = -1
}

// remove removes the cgroup; its processes, if any, are about to end.
func (c *cgroup) remove() {
	if c.fd < 0 {
		return
	}
	c.close()
	if err := removeCgroup(c.path); err != nil {
		c.t.Error(err)
	}
}

// removeCgroup waits for the cgroup's processes to end, and removes it.
func removeCgroup(path string) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := os.Remove(path)
		if errors.Is(err, unix.ENOENT) {
			return nil
		} else if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// run starts a process in the cgroup, which ends with the test.
func (c *cgroup) run(cmd *exec.Cmd) *exec.Cmd {
	c.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: c.fd, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// sleep runs a process with n threads beside its first.
func (c *cgroup) sleep(n int) *exec.Cmd {
	c.t.Helper()
	cmd, _ := c.renamable(n)
	return cmd
}

// renamable is sleep for a process with a name that can be changed.
func (c *cgroup) renamable(n int) (cmd *exec.Cmd, rename func(string)) {
	c.t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", roleVar, n))
	names, stdout := ktest.Pipes(c.t, cmd)
	c.run(cmd)
	answers := bufio.NewReader(stdout)
	ready := func() {
		if line, err := answers.ReadString('\n'); line != "ready\n" {
			c.t.Errorf("helper with %d threads: %q %v", n, line, err)
		}
	}
	ready()
	return cmd, func(name string) {
		fmt.Fprintln(names, name)
		ready()
	}
}

// mountDir mounts with the built command and unmounts when the test is over.
func mountDir(t testing.TB, source string, options ...string) string {
	t.Helper()
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	args := []string{"mount", source, dir}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// unmount unmounts and waits for the server to end.
func unmount(t testing.TB, dir string) {
	t.Helper()
	server := serverOf(t, dir)
	if out, err := exec.Command(command, "umount", dir).CombinedOutput(); err != nil {
		t.Errorf("umount: %v\n%s", err, out)
	}
	deadline := time.Now().Add(time.Minute)
	for ; server > 0 && unix.Kill(server, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the server, process %d, outlives its mount", server)
			unix.Kill(server, unix.SIGKILL)
			return
		}
	}
}

// serverOf finds the process that serves a mount. It runs the command with the directory among its arguments.
func serverOf(t testing.TB, dir string) int {
	t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, _ := os.ReadFile(path)
		if args := bytes.Split(line, []byte{0}); len(args) > 2 &&
			bytes.Contains(line, []byte("\x00"+dir+"\x00")) {
			if pid, _ := strconv.Atoi(strings.Split(path, "/")[2]); pid != os.Getpid() &&
				isServer(pid) {
				return pid
			}
		}
	}
	return 0
}

// isServer tells a process that has /dev/fuse open.
func isServer(pid int) bool {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to == "/dev/fuse" {
			return true
		}
	}
	return false
}

// stop stops a process, with all its threads, so that its columns in a view stay the same.
func stop(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.Process.Signal(unix.SIGSTOP)
	eventually(t, "all threads stop", func() bool {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", cmd.Process.Pid))
		for _, path := range stats {
			if stat, _ := os.ReadFile(path); !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return len(stats) > 0
	})
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits for a change that other processes make in their own time.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}
