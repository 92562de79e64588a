package mount

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"bpfviewfs/mount/handoff"
	"bpfviewfs/mount/place"
	"golang.org/x/sys/unix"
)

// A mount goes on as long as a process holds three descriptors: the connection, the memory of requests, and
// the memory of open files. A keeper hands them to the program that replaces it, and to the service manager,
// which gives them to the next keeper if this one dies. Readers wait meanwhile. The next server answers the
// requests in work.

// The descriptors by name, as in the service manager's store.
const (
	heldDevice = "fuse"
	heldState  = "requests"
	heldMemory = "files"
	heldKept   = "kept"  // of the servers; there may be none
	heldGuard  = "guard" // to the guard, see startGuard; never in the store
)

// resumeVar has the descriptors for a keeper that runs in an earlier one's place: NAME=NUMBER, parted by
// spaces.
const resumeVar = "BPFVIEWFS_RESUME"

// held returns the descriptors that an earlier keeper has left, and removes them from the environment.
func held() map[string]*os.File {
	found := make(map[string]*os.File)
	add := func(name string, fd int) {
		unix.CloseOnExec(fd)
		found[name] = os.NewFile(uintptr(fd), name)
	}
	for _, word := range strings.Fields(os.Getenv(resumeVar)) {
		name, number, _ := strings.Cut(word, "=")
		if fd, err := strconv.Atoi(number); err == nil {
			add(name, fd)
		}
	}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) { // see sd_listen_fds(3)
		for i, name := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
			add(name, 3+i)
		}
	}
	for _, name := range []string{resumeVar, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	return found
}

// resuming reports whether there is an earlier keeper's mount to take up.
func resuming() bool { return os.Getenv(resumeVar) != "" }

// resume takes up the mount of an earlier keeper if it still exists, and closes the descriptors that it
// cannot use.
func (k *Keeper) resume() bool {
	files := held()
	if post := files[heldGuard]; post != nil {
		delete(files, heldGuard)
		go dismiss(post)
	}
	if len(files) == 0 {
		return false
	}
	err := k.takeUp(files)
	if err == nil {
		return true
	}
	k.Logf("mounting anew: the mount of an earlier keeper cannot be taken up: %v", err)
	for _, f := range files {
		f.Close()
	}
	return false
}

func (k *Keeper) takeUp(files map[string]*os.File) error {
	device, requests, memory := files[heldDevice], files[heldState], files[heldMemory]
	if device == nil || requests == nil || memory == nil {
		return fmt.Errorf("it left %d descriptors of 3", len(files))
	}
	s, err := handoff.Open(requests)
	if err != nil {
		return err
	}
	m, err := k.takeUpMount(s, device)
	if err != nil {
		s.Unmap()
		return err
	}
	device.Close()
	k.at, k.requests, k.memory, k.kept = m, s, memory, files[heldKept]
	return nil
}

// takeUpMount finds the mount that the memory of requests tells of. A mount that may exist is taken up, because
// there may be one without a server.
func (k *Keeper) takeUpMount(s *handoff.Memory, device *os.File) (*place.Mount, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	at, err := s.Info()
	if err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(device.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	m := place.Inherited(fd, at)
	switch _, err := m.Target(); {
	case errors.Is(err, place.ErrNotMounted):
		m.Close()
		return nil, err
	case err != nil:
		k.Logf("taking up the mount of an earlier keeper at %s, which may not be there: %v", m, err)
	}
	return m, nil
}

// store leaves the descriptors with the service manager, where they replace older ones.
func (k *Keeper) store() {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	for name, fd := range k.held() {
		Notify("FDSTOREREMOVE=1\nFDNAME=" + name)
		if err := notifyWith("FDSTORE=1\nFDNAME="+name, fd); err != nil {
			k.Logf("without the service manager's help the mount ends with this process: %v", err)
			return
		}
	}
}

// replace runs the program at this program's path in its place. It returns only if that fails.
func (k *Keeper) replace() error {
	if _, err := k.at.Target(); err != nil { // the new keeper would mount again
		return err
	}
	_ = os.Chdir(k.dir)
	post, err := k.startGuard()
	if err != nil {
		return err
	}
	defer dismiss(post)
	files := k.held()
	files[heldGuard] = int(post.Fd())
	words, takeBack, err := handOn(files)
	defer takeBack()
	if err != nil {
		return err
	}
	k.socket.close() // a caller that waits for the new program must not find this one
	defer k.tryListen()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := k.disregard()
	defer restore()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP) // the new program reloads anyway
	defer signal.Notify(k.hangups, syscall.SIGHUP)
	err = unix.Exec(k.path, os.Args, append(os.Environ(), resumeVar+"="+words))
	return fmt.Errorf("run %s: %w", k.path, err)
}

// handOn makes descriptors that exec(2) does not close, and lists them in the form of resumeVar.
func handOn(files map[string]int) (said string, takeBack func(), err error) {
	var words []string
	var fds []int
	takeBack = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for name, fd := range files {
		other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 3)
		if err != nil {
			return "", takeBack, fmt.Errorf("hand on %s: %w", name, err)
		}
		fds = append(fds, other)
		words = append(words, fmt.Sprintf("%s=%d", name, other))
	}
	return strings.Join(words, " "), takeBack, nil
}
