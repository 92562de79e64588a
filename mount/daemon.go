package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

// pipeVar names, for a process in the background, the descriptor on which its parent waits for the outcome.
const pipeVar = "BPFVIEWFS_READY_FD"

// Background divides a program that mounts in two, unless o.Foreground is set:
//
//	ready, err := mount.Background(o)
//	if ready == nil {
//		return err // we are the parent, and all is done
//	}
//
// The parent starts the same program with the same arguments once more, because Go cannot fork. It waits
// until the child calls ready or dies. It returns a nil ready, and a nil err once the tree is readable, else
// the child's error and exit code. The child gets ready, and so does a process in the foreground.
//
// ready(nil) says that the tree is served. The child then leaves its session, working directory and standard
// streams, because callers of mount(8) may wait for those. ready(err) hands an error to the parent and
// returns it.
func Background(o Options) (ready func(error) error, err error) {
	if fd := os.Getenv(pipeVar); fd != "" {
		return inBackground(fd)
	}
	if again := resuming(); o.Foreground || again || guards() {
		return func(err error) error {
			if err == nil && again && !o.Foreground {
				err = os.Chdir("/")
			}
			if err != nil {
				return err
			}
			return Notify(isReady)
		}, nil
	}
	return nil, startBackground(o)
}

func startBackground(o Options) error {
	r, w, err := os.Pipe()
	if err != nil {
		return exit.With(exit.System, fmt.Errorf("start in the background: %w", err))
	}
	defer r.Close()
	// mount(8) gives no PATH, and argv[0] is the name of the caller's choice. The child leaves the
	// session later: autofs decides by the process group which processes may walk to a mount point that
	// is being mounted.
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Args[0] = os.Args[0]
	child.Env = append(os.Environ(), pipeVar+"=3")
	child.ExtraFiles = []*os.File{w}
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	err = child.Start()
	w.Close()
	if err != nil {
		return exit.With(exit.System, fmt.Errorf("start in the background: %w", err))
	}
	outcome, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		if err = child.Wait(); err == nil {
			err = errors.New("exit status 0")
		}
		return exit.With(exit.System,
			fmt.Errorf("the process in the background ended before it was ready: %w", err))
	}
	if err := parseOutcome(outcome); err != nil {
		child.Wait()
		return err
	}
	child.Process.Release()
	return readable(o.Target)
}

func inBackground(fdText string) (ready func(error) error, err error) {
	os.Unsetenv(pipeVar) // not for our children
	fd, err := strconv.Atoi(fdText)
	if err != nil {
		return nil, exit.With(exit.System, fmt.Errorf("%s=%q: %w", pipeVar, fdText, err))
	}
	unix.CloseOnExec(fd)
	parent := os.NewFile(uintptr(fd), "parent")
	return func(err error) error {
		defer parent.Close()
		if err == nil {
			unix.Setsid() // fails for the leader of a process group, which has nothing to leave
			err = exit.With(exit.System, os.Chdir("/"))
		}
		if quiet := silence(); err == nil {
			err = exit.With(exit.System, quiet)
		}
		// A parent that has died waits for nothing.
		io.WriteString(parent, formatOutcome(err))
		if err == nil {
			Notify(isReady)
		}
		return err
	}, nil
}

// silence puts /dev/null in place of the standard streams.
func silence() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return nil
}

// An outcome is one line: the exit code and, unless that is 0, the error.
func formatOutcome(err error) string {
	if err == nil {
		return "0\n"
	}
	return fmt.Sprintf("%d %s\n", exit.Code(err), strings.ReplaceAll(err.Error(), "\n", "; "))
}

func parseOutcome(line string) error {
	code, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	n, err := strconv.Atoi(code)
	if err != nil {
		return exit.With(exit.System, fmt.Errorf("the process in the background said %q", line))
	}
	if n == exit.OK {
		return nil
	}
	return exit.With(n, errors.New(text))
}

// readable reports whether the tree at target answers. It must not run in the process that serves it.
func readable(target string) error {
	var st unix.Stat_t
	if err := unix.Stat(target, &st); err != nil {
		return fmt.Errorf("mounted on %s, but it does not answer: %w", target, err)
	}
	return nil
}
