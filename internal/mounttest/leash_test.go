package mounttest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLeash kills a process on a leash. A process that it has started in the background ends, too, unless the
// leash was released.
func TestLeash(t *testing.T) {
	for _, end := range []string{"killed", "released"} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "LEASH_TEST="+end)
		cmd.Stderr = os.Stderr
		out, _ := cmd.Output()
		var pid int
		if _, err := fmt.Sscan(string(out), &pid); err != nil {
			t.Fatalf("%s: it says %q: %v", end, out, err)
		}
		ended := func() bool {
			state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(state), ") Z ")
		}
		if end == "killed" {
			Eventually(t, ended, func() string { return "the process in the background lives on" })
		} else if ended() {
			t.Error("the process in the background has ended although the leash was released")
		}
		unix.Kill(pid, unix.SIGKILL)
	}
}

func TestMain(m *testing.M) {
	end := os.Getenv("LEASH_TEST")
	if end == "" {
		os.Exit(m.Run())
	}
	release, err := Leash()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	sleep := exec.Command("sleep", "1000")
	sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sleep.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(sleep.Process.Pid)
	if end == "released" {
		release()
	}
	unix.Kill(os.Getpid(), unix.SIGKILL)
}
