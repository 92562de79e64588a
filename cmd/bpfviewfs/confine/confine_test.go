package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// confined is set in a process that confines itself.
const confined = "BPFVIEWFS_TEST_CONFINED"

func TestMain(m *testing.M) {
	if os.Getenv(confined) != "" {
		if err := inside(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestServer confines another process, which then tries forbidden calls and the calls of a server.
func TestServer(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), confined+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// inside has threads that were there before the filter, because a server has.
func inside() error {
	begin, result := make(chan bool), make(chan error)
	var started sync.WaitGroup
	for range 4 {
		started.Add(1)
		go func() {
			started.Done()
			<-begin
			result <- attempts()
		}()
	}
	started.Wait()
	if err := Server(); err != nil {
		return err
	}
	close(begin)
	errs := []error{attempts()}
	for range 4 {
		errs = append(errs, <-result)
	}
	return errors.Join(errs...)
}

func attempts() error {
	var errs []error
	for name, err := range map[string]error{
		"execve":  exec.Command("/proc/self/exe").Start(),
		"mount":   unix.Mount("none", "/", "", unix.MS_PRIVATE, ""),
		"unshare": unix.Unshare(unix.CLONE_FS),
		"ptrace":  unix.PtraceAttach(os.Getppid()),
		"chmod":   unix.Fchmodat(unix.AT_FDCWD, "/proc/self/exe", 0o777, 0),
		"fsopen":  func() error { _, err := unix.Fsopen("tmpfs", 0); return err }(),
		"setuid":  func() error { _, _, e := unix.RawSyscall(unix.SYS_SETUID, 65534, 0, 0); return e }(),
	} {
		if !errors.Is(err, unix.EPERM) {
			errs = append(errs, fmt.Errorf("%s: %v", name, err))
		}
	}
	if _, err := os.ReadFile("/proc/self/status"); err != nil {
		errs = append(errs, err)
	}
	if fd, err := unix.MemfdCreate("file", unix.MFD_CLOEXEC); err != nil {
		errs = append(errs, err)
	} else {
		unix.Close(fd)
	}
	return errors.Join(errs...)
}
