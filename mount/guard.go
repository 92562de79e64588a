package mount

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
	"golang.org/x/sys/unix"
)

// A guard is a process that unmounts if its keeper dies while it runs a new program in its place. The Go
// runtime unblocks SIGINT and SIGTERM at the start of every program, so a program dies of one that comes
// before it calls signal.Notify. Until then the guard stands for the mount.
//
// The guard and its keeper share a socket. The guard sends its pid when it is ready. The new program sends a
// byte when it receives signals, and the guard exits.

// guardVar is in the environment of a guard and holds its keeper's pid.
const guardVar = "BPFVIEWFS_GUARD"

// Descriptors that a guard gets from its keeper.
const (
	guardDevice = 3 + iota
	guardRequests
	guardSocket
)

// guardLimit bounds the start of a guard.
const guardLimit = 10 * time.Second

// startGuard returns the keeper's end of the socket when the guard is ready.
func (k *Keeper) startGuard() (post *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start a guard: make a socket pair: %w", err)
	}
	post, far := os.NewFile(uintptr(fds[0]), "guard"), os.NewFile(uintptr(fds[1]), "keeper")
	defer far.Close()
	device, err := unix.FcntlInt(uintptr(k.at.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		post.Close()
		return nil, fmt.Errorf("start a guard: duplicate /dev/fuse: %w: see ulimit -n", err)
	}
	fuse := os.NewFile(uintptr(device), "/dev/fuse")
	defer fuse.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", guardVar, os.Getpid()))
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{fuse, k.requests.File(), far}
	if err := cmd.Start(); err != nil {
		post.Close()
		return nil, fmt.Errorf("start a guard: %w", err)
	}
	limit := unix.NsecToTimeval(int64(guardLimit))
	unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	far.Close() // so that its death is noticed
	if _, err := readPid(post); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		post.Close()
		return nil, fmt.Errorf("start a guard: it does not get ready: %w", err)
	}
	cmd.Process.Release() // see dismiss
	return post, nil
}

// dismiss ends a guard. The program that started it may be an earlier one of this process, so it is reaped by
// the pid that it sends.
func dismiss(post *os.File) {
	defer post.Close()
	post.Write([]byte{1})
	if pid, err := readPid(post); err == nil {
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}
}

// guards reports whether this process is a guard.
func guards() bool { return os.Getenv(guardVar) != "" }

// stand is the guard's part. It returns when the new program has begun, or when the mount has ended.
func stand() error {
	wire.NameThreads()
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	pid, err := strconv.Atoi(os.Getenv(guardVar))
	if err != nil {
		return fmt.Errorf("%s: %w", guardVar, err)
	}
	keeper, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("guard the mount of process %d: %w", pid, err)
	}
	defer unix.Close(keeper)
	requests, err := handoff.Open(os.NewFile(guardRequests, "requests"))
	if err != nil {
		return err
	}
	at, err := requests.Info()
	if err != nil {
		return err
	}
	m := place.Inherited(guardDevice, at)
	post := os.NewFile(guardSocket, "keeper")
	if err := writePid(post); err != nil {
		return fmt.Errorf("guard %s: %w", m, err)
	}
	if died(keeper, post) {
		_, err := m.Unmount()
		return errors.Join(err, m.Abort())
	}
	return writePid(post)
}

// died waits until the keeper dies or dismisses its guard, and reports whether it has died. A keeper that
// runs an older program dismisses nobody, so the wait is bounded.
func died(keeper int, post *os.File) bool {
	fds := []unix.PollFd{
		{Fd: int32(keeper), Events: unix.POLLIN}, {Fd: int32(post.Fd()), Events: unix.POLLIN},
	}
	for start := time.Now(); time.Since(start) < prepareLimit; {
		unix.Poll(fds, int(prepareLimit/time.Millisecond))
		if fds[1].Revents != 0 {
			if n, _ := post.Read(make([]byte, 1)); n == 1 {
				return false
			}
			fds[1].Fd = -1 // closed at the keeper's death
		}
		if fds[0].Revents != 0 {
			return true
		}
	}
	return false
}

// A pid is sent as one line.
func writePid(to *os.File) error {
	_, err := fmt.Fprintln(to, os.Getpid())
	return err
}

func readPid(from *os.File) (pid int, err error) {
	_, err = fmt.Fscanln(from, &pid)
	return pid, err
}
