package ktest

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

	"golang.org/x/sys/unix"
)

// The test binary is its own helper. The variable has the job that a process was started for.
const helperEnv = "BPFVIEWFS_TEST_HELPER"

// Main runs a package's tests, or this process as a helper.
func Main(m *testing.M) {
	if job := os.Getenv(helperEnv); job != "" {
		if err := help(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if strays := namespaces(); len(strays) > 1 {
		fmt.Fprintln(os.Stderr, "threads left in mount namespaces of their own, which keep mounts alive:", strays)
		code = 1
	}
	os.Exit(code)
}

// namespaces lists the mount namespaces of this process's threads.
func namespaces() map[string]bool {
	found := make(map[string]bool)
	links, _ := filepath.Glob("/proc/self/task/*/ns/mnt")
	for _, link := range links {
		if namespace, err := os.Readlink(link); err == nil { // else the thread has ended
			found[namespace] = true
		}
	}
	return found
}

// help does the job "cgroup.procs file;threads;children;mode;comm", or one of Jobs ("name;...").
func help(job string) error {
	if name, rest, _ := strings.Cut(job, ";"); Jobs[name] != nil {
		return Jobs[name](rest)
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
	default:
		if prepare := Modes[f[3]]; prepare != nil {
			if err := prepare(); err != nil {
				return err
			}
		}
	}
	started := make(chan error)
	for i := range threads {
		go func() {
			runtime.LockOSThread()
			name := fmt.Sprintf("%s%d", f[4], i)
			err := unix.Prctl(unix.PR_SET_NAME,
				uintptr(unsafe.Pointer(unsafe.StringData(name+"\x00"))), 0, 0, 0)
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
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // this is the first thread (see init)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

func init() {
	if job := os.Getenv(helperEnv); strings.Contains(job, ";headless;") ||
		strings.Contains(job, ";apart;") {
		runtime.LockOSThread() // main keeps this thread for itself
	}
}

// ownTable gives this thread its own table of files, with one socket more.
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

// waitAsleep waits until a child of forkSleeper is off its CPU in ppoll(2), which it never leaves. Until then
// its state and its stack change. The kernel names the system call of a thread that does not run, otherwise
// "running" (proc_pid_syscall(5)).
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

// Jobs are the work of a process of [Start], by name. Modes are the work of a [Helper] before it is ready. A
// test file adds its own in init.
var (
	Jobs  = make(map[string]func(rest string) error)
	Modes = make(map[string]func() error)
)

// Helper is a process that lives in a cgroup until the test ends.
type Helper struct {
	Cgroup   string
	Threads  int // beside the threads of the Go runtime
	Children int
	// ^Mode is one of Modes or of these. "busy": threads spin. "headless": the first thread exits.
	// "apart": the first other thread has its own table of files.
	Mode  string
	Comm  string     // of the threads, before their number
	Files []*os.File // open from descriptor 3 on
}

// Start runs the helper, and ends it with the test.
func (h Helper) Start(t testing.TB) (pid int) {
	t.Helper()
	procs := filepath.Join(h.Cgroup, "cgroup.procs")
	cmd, in, out := Start(t, fmt.Sprintf("%s;%d;%d;%s;%s", procs, h.Threads, h.Children, h.Mode, h.Comm),
		h.Files...)
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

// Command is this program, to be started for a job.
func Command(job string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	return cmd
}

// Start starts this program for a job "name;rest", one of Jobs. The caller ends it.
func Start(t testing.TB, job string, files ...*os.File) (cmd *exec.Cmd, in io.WriteCloser,
	out *bufio.Reader) {
	t.Helper()
	cmd = Command(job)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = files
	in, stdout := Pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewReader(stdout)
}

// Pipes are the standard input and output of a command that is not started yet.
func Pipes(t testing.TB, cmd *exec.Cmd) (in io.WriteCloser, out io.ReadCloser) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	return in, out
}
