package iter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"bpfviewfs/bpf"
	"golang.org/x/sys/unix"
)

// The test binary is its own helper: a process that joins a cgroup, has as many threads and children as it is told,
// says "ready", and ends when its standard input does.
const helperEnv = "BPFVIEWFS_TEST_HELPER"

func TestMain(m *testing.M) {
	if job := os.Getenv(helperEnv); job != "" {
		if err := help(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// help does "cgroup.procs file;threads;children;mode;comm", or what a test of its own asks for: "name;...".
func help(job string) error {
	if name, rest, _ := strings.Cut(job, ";"); jobs[name] != nil {
		return jobs[name](rest)
	}
	f := strings.SplitN(job, ";", 5)
	if err := os.WriteFile(f[0], []byte("0"), 0); err != nil {
		return err
	}
	threads, _ := strconv.Atoi(f[1])
	children, _ := strconv.Atoi(f[2])
	var sleepers []int
	for range children {
		pid, err := forkSleeper()
		if err != nil {
			return err
		}
		sleepers = append(sleepers, pid)
	}
	for _, pid := range sleepers {
		if err := waitAsleep(pid); err != nil {
			return err
		}
	}
	debug.SetMaxThreads(20000)
	var busy atomic.Bool
	switch f[3] {
	case "busy":
		busy.Store(true)
		runtime.GOMAXPROCS(threads + 2) // all spin at once
	case "maps":
		if err := mapAllKinds(); err != nil {
			return err
		}
	}
	started := make(chan error)
	for i := range threads {
		go func() {
			runtime.LockOSThread()
			name := fmt.Sprintf("%s%d", f[4], i)
			err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData(name+"\x00"))), 0, 0, 0)
			if f[3] == "apart" && i == 0 {
				err = errors.Join(err, ownTable())
			}
			started <- err
			for busy.Load() {
			}
			for {
				unix.Pause()
			}
		}()
		if err := <-started; err != nil {
			return err
		}
	}
	if f[3] == "headless" {
		go func() {
			for !headless() {
			}
			fmt.Println("ready")
			bufio.NewReader(os.Stdin).ReadByte()
			os.Exit(0)
		}()
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // this is the first thread: see init
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

func init() {
	if job := os.Getenv(helperEnv); strings.Contains(job, ";headless;") || strings.Contains(job, ";apart;") {
		runtime.LockOSThread() // main is this thread's alone
	}
}

// ownTable gives this thread a table of files of its own, with one socket more.
func ownTable() error {
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return err
	}
	_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	return err
}

// headless tells whether the first thread of this process has exited.
func headless() bool {
	stat, err := os.ReadFile("/proc/self/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// forkSleeper makes a child that sleeps till it is killed. The child may only make raw system calls.
func forkSleeper() (int, error) {
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for pid == 0 {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	return int(pid), nil
}

// waitAsleep waits until a child of forkSleeper is off its CPU in ppoll(2), which it never leaves. Until then its state
// and its stack change. The kernel names the system call of a thread that does not run, "running" otherwise: proc_pid_syscall(5).
func waitAsleep(pid int) error {
	asleep := strconv.Itoa(unix.SYS_PPOLL) + " "
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(call), asleep) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("child %d does not sleep, but is in system call %s", pid, call)
		}
	}
}

var jobs = make(map[string]func(rest string) error)

type helper struct {
	cgroup   string
	threads  int
	children int
	busy     bool
	maps     bool // memory of every kind
	headless bool // its first thread exits
	apart    bool // its first other thread has a table of files of its own
	comm     string
	files    []*os.File // what it has open from descriptor 3 on
}

// start runs a helper, and ends it with the test.
func (j helper) start(t testing.TB) (pid int) {
	t.Helper()
	mode := "idle"
	switch {
	case j.busy:
		mode = "busy"
	case j.maps:
		mode = "maps"
	case j.headless:
		mode = "headless"
	case j.apart:
		mode = "apart"
	}
	cmd, in, out := startHelper(t, fmt.Sprintf("%s;%d;%d;%s;%s", filepath.Join(j.cgroup, "cgroup.procs"), j.threads, j.children, mode, j.comm), j.files...)
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	return cmd.Process.Pid
}

// startHelper starts this program as a helper that does what job says. The caller ends it.
func startHelper(t testing.TB, job string, files ...*os.File) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewReader(stdout)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func testHierarchy(t testing.TB, source string) *Hierarchy {
	t.Helper()
	needRoot(t)
	h, err := OpenHierarchy(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// testViews opens the built-in views, of those that are off unless asked for the ones named.
func testViews(t testing.TB, h *Hierarchy, o Options, enable ...string) map[string]*View {
	t.Helper()
	s, err := Open(h, Config{Builtin: bpf.Objects, Enable: enable, Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	views := make(map[string]*View)
	for _, v := range s.Views() {
		if errors.Is(v.Err(), unix.ENOENT) { // off
			continue
		}
		if v.Err() != nil {
			t.Fatalf("%+v", v.Err())
		}
		views[v.Name()] = v
	}
	return views
}

// testCgroup makes a cgroup below parent, and removes it and who is in it with the test. A * in the name becomes a
// number that is free.
func testCgroup(t testing.TB, parent, name string) string {
	t.Helper()
	dir, err := filepath.Join(parent, name), error(nil)
	if strings.Contains(name, "*") {
		dir, err = os.MkdirTemp(parent, name)
	} else {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroup(t, dir) })
	return dir
}

func removeCgroup(t testing.TB, dir string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		for _, pid := range idsIn(t, dir, "cgroup.procs") {
			unix.Kill(pid, unix.SIGKILL)
		}
		err := os.Remove(dir)
		if err == nil || os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("remove %s: %v", dir, err)
			return
		}
	}
}
