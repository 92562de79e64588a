package ktest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Animals are processes that a view may show twice, or not at all, because their threads do not share all or
// have ended. The name tells the deeds of each, joined with +:
//
//	headless	its first thread ends
//	apart	a thread takes a table of files of its own, and opens a socket
//	pair	as apart, and a second thread shares that table
//	vfork	a child shares its memory
//	zombie	a child has ended and its parent does not wait for it
//	exec	a thread that is not the first executes a program
var Animals = []string{"", "headless", "apart", "headless+apart", "pair", "headless+pair", "vfork",
	"zombie", "exec"}

func init() {
	Jobs["zoo"] = zooJob
	if strings.HasPrefix(os.Getenv(helperEnv), "zoo;") {
		runtime.LockOSThread() // main keeps the first thread for itself
		debug.SetGCPercent(-1) // a thread that never comes back from a system call cannot be stopped
	}
}

// zooJob does "cgroup.procs file;animal".
func zooJob(rest string) error {
	procs, kind, _ := strings.Cut(rest, ";")
	if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
		return err
	}
	does := strings.Split(kind, "+")
	if kind == "exec" {
		failed := make(chan error)
		go func() {
			runtime.LockOSThread()
			os.Setenv(helperEnv, "zoo;"+procs+";")
			failed <- unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}()
		return <-failed
	}
	for range 2 {
		if err := onThread(func() error { return nil }); err != nil {
			return err
		}
	}
	for _, d := range does {
		var err error
		switch d {
		case "apart":
			err = onThread(ownTable)
		case "pair":
			err = pairApart()
		case "vfork":
			err = cloneAndWait(unix.CLONE_VM | unix.CLONE_VFORK | uintptr(unix.SIGCHLD))
		case "zombie":
			err = forkZombie()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
	}
	ready := func() {
		fmt.Println("ready")
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	if slices.Contains(does, "headless") {
		go func() {
			for !headless() {
			}
			ready()
		}()
		unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	}
	ready()
	return nil
}

// onThread does something on a thread of its own, which then sleeps for ever.
func onThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- do()
		for {
			unix.Pause()
		}
	}()
	return <-done
}

// pairApart makes two threads that share a table of files with each other, and with no other.
func pairApart() error {
	apart := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := ownTable(); err != nil {
			apart <- err
		}
		cloneSleeper(unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_THREAD|unix.CLONE_SIGHAND|unix.CLONE_FILES, &pairTID)
	}()
	return waitFor(&pairTID, apart)
}

var pairTID, vforkPID atomic.Int32

// cloneAndWait makes a child on a thread that waits for it for ever, and waits until it is there.
func cloneAndWait(flags uintptr) error {
	go func() {
		runtime.LockOSThread()
		cloneSleeper(flags, &vforkPID)
	}()
	return waitFor(&vforkPID, nil)
}

func waitFor(id *atomic.Int32, failed chan error) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(
		time.Millisecond) {
		select {
		case err := <-failed:
			return err
		default:
		}
		if n := id.Load(); n > 0 {
			return nil
		} else if n < 0 {
			return unix.Errno(-n)
		}
	}
	return errors.New("clone did not come back")
}

// cloneSleeper makes a child or thread on this thread's stack, which is in use till it ends. With CLONE_VFORK
// no other thread runs on it. Neither comes back.
func cloneSleeper(flags uintptr, id *atomic.Int32) {
	all := ^uint64(0)
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
	_, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|unix.CLONE_PARENT_SETTID, 0,
		uintptr(unsafe.Pointer(id)), 0, 0, 0)
	for errno == 0 {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	id.Store(-int32(errno))
}

func forkZombie() error {
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	if errno != 0 {
		return errno
	}
	for pid == 0 {
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	for {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil ||
			strings.Contains(string(stat), ") Z ") {
			return err
		}
	}
}

// StartAnimal starts one of Animals in a cgroup and gives its process id. It ends with the test.
func StartAnimal(t testing.TB, cgroup, kind string) int {
	t.Helper()
	cmd, in, out := Start(t, fmt.Sprintf("zoo;%s;%s", filepath.Join(cgroup, "cgroup.procs"), kind))
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%s said %q, %v", kind, line, err)
	}
	return cmd.Process.Pid
}

// Holders are the threads of a process that hold a table of files first, by kcmp(2).
func Holders(t testing.TB, pid int) (tids []int) {
	t.Helper()
	for _, tid := range LivingThreads(t, pid) {
		if !slices.ContainsFunc(tids, func(o int) bool { return sameFiles(t, o, tid) }) {
			tids = append(tids, tid)
		}
	}
	return tids
}

// LivingThreads are the threads of a process that have not ended, in the order of their making, which is the
// kernel's order.
func LivingThreads(t testing.TB, pid int) (tids []int) {
	t.Helper()
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		stat, err := os.ReadFile(filepath.Join(dir.Name(), name, "stat"))
		if err == nil && !strings.Contains(string(stat), ") Z ") &&
			!strings.Contains(string(stat), ") X ") {
			tid, _ := strconv.Atoi(name)
			tids = append(tids, tid)
		}
	}
	return tids
}

func sameFiles(t testing.TB, a, b int) bool {
	t.Helper()
	const kcmpFiles = 2
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(a), uintptr(b), kcmpFiles, 0, 0, 0)
	if errno != 0 {
		t.Fatalf("kcmp %d, %d: %v", a, b, errno)
	}
	return order == 0
}

// MoveThread puts a thread into a cgroup.
func MoveThread(t testing.TB, dir, file string, tid int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(tid)), 0); err != nil {
		t.Fatal(err)
	}
}

// ThreadedTree makes a domain and threaded cgroups in it, a directory each.
func ThreadedTree(t testing.TB, parent string, names ...string) (domain string, dirs []string) {
	t.Helper()
	domain = Cgroup(t, parent, "bpfviewfs-test-*")
	for _, name := range names {
		dir := Cgroup(t, domain, name)
		if err := os.WriteFile(filepath.Join(dir, "cgroup.type"), []byte("threaded"), 0); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	return domain, dirs
}
