package mount

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// Limits for the end of a mount. After a signal, open files can be read for the grace period; then the
// connection is aborted. Once the connection is over, the keeper waits for its servers until endLimit, and
// kills them. A killed server may have a thread stuck in the kernel, so the keeper waits for its death until
// killLimit only.
const (
	grace     = time.Second
	endLimit  = 10 * time.Second
	killLimit = 2 * time.Second
)

// terminate unmounts after the first SIGINT or SIGTERM. A further signal changes nothing, because the rest
// takes a bounded time. For example, timeout(1) sends two at once.
func (k *Keeper) terminate(s os.Signal) (again bool, err error) {
	switch {
	case !k.at.Attached():
		return false, exit.With(exit.System, fmt.Errorf("%v: ended before anything was mounted", s))
	case k.deadline != nil:
		return true, nil
	}
	k.Logf("%v: unmounting %s", s, k.at)
	Notify("STOPPING=1")
	k.unmount()
	k.deadline = time.After(grace)
	return true, nil
}

// expired acts on the end of the grace period, or of the time that the servers had to end.
func (k *Keeper) expired() (again bool, err error) {
	if k.over {
		return false, fmt.Errorf("unmounted, but a server does not end within %v", endLimit)
	}
	if err := k.at.Abort(); err != nil {
		k.Logf("%v", err)
	}
	k.finish()
	return true, nil
}

// finish bounds the time that servers have left after the end of the connection.
func (k *Keeper) finish() {
	if !k.over {
		k.over = true
		k.deadline = time.After(endLimit)
	}
}

// Signals that end the mount.
var ending = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

// disregard has signals that end the mount kill the process from now on. It returns an error if one has come
// before. It must be called on a locked thread.
//
// A thread may be about to run the runtime's handler for a signal that it took just before. Until then it
// does not sleep.
func (k *Keeper) disregard() (restore func(), err error) {
	signal.Stop(k.signals) // earlier signals are in the channel
	var before []sigaction
	restore = func() {
		for i, action := range before {
			rtSigaction(ending[i], &action, nil)
		}
		signal.Notify(k.signals, ending...)
	}
	for _, s := range ending {
		var old sigaction
		if err := rtSigaction(s, &sigaction{}, &old); err != nil {
			return restore, fmt.Errorf("set the default action of %v: %w", s, err)
		}
		before = append(before, old)
	}
	if err := othersSleep(); err != nil {
		return restore, err
	}
	if len(k.signals) > 0 {
		return restore, errors.New("the mount is about to end")
	}
	return restore, nil
}

// sigaction is room for the kernel's struct sigaction of any architecture. Zeroes are SIG_DFL.
type sigaction [8]uint64

// rtSigaction is rt_sigaction(2). The runtime has no call that gives a signal to the kernel again.
func rtSigaction(s os.Signal, now, before *sigaction) error {
	const setSize = 8 // bytes of a sigset_t in the kernel
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s.(syscall.Signal)),
		uintptr(unsafe.Pointer(now)), uintptr(unsafe.Pointer(before)), setSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// sleepLimit bounds the wait for other threads.
const sleepLimit = time.Second

// othersSleep waits until it has seen each other thread asleep.
func othersSleep() error {
	seen := map[string]bool{strconv.Itoa(unix.Gettid()): true}
	for start := time.Now(); time.Since(start) < sleepLimit; {
		awake := 0
		stats, _ := filepath.Glob("/proc/self/task/*/stat")
		for _, path := range stats {
			tid := filepath.Base(filepath.Dir(path))
			if seen[tid] {
				continue
			}
			text, err := os.ReadFile(path)
			_, fields, _ := bytes.Cut(text, []byte(") ")) // of the name, which has no parentheses
			seen[tid] = err != nil || bytes.HasPrefix(fields, []byte("S"))
			if !seen[tid] {
				awake++
			}
		}
		if awake == 0 {
			return nil
		}
		pause := unix.NsecToTimespec(int64(time.Millisecond))
		unix.Nanosleep(&pause, nil)
	}
	return fmt.Errorf("a thread of the keeper has not slept for %v", sleepLimit)
}

// heed begins to receive signals before the mount exists, so that none can leave it dead.
func (k *Keeper) heed() {
	k.hangups, k.signals = make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(k.hangups, syscall.SIGHUP)
	signal.Notify(k.signals, ending...)
}

func (k *Keeper) heedNoMore() {
	signal.Stop(k.hangups)
	signal.Stop(k.signals)
}
