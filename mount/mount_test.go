package mount

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/mount/exit"
	"golang.org/x/sys/unix"
)

func TestMountNeedsRoot(t *testing.T) {
	testenv.NeedsRoot(t)
	cmd := child("ours", mounttest.TempDir(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exit.Usage || !strings.Contains(string(out), "must be root") {
		t.Errorf("%v, exit code %d: %s", err, cmd.ProcessState.ExitCode(), out)
	}
}

// Requests that were read ahead are answered by the next server if their own is killed.
func TestKilledServerInACrowd(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mounttest.TempDir(t)
	mounttest.UnmountAfter(t, dir)
	keeper := spawn(t, "ours", dir)
	var over atomic.Bool
	var reads atomic.Int64
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			mounttest.As(1000+i%4, func() {
				for !over.Load() {
					if got, err := mounttest.ReadAll(filepath.Join(dir, "hello")); got != mounttest.Trivial || err != nil {
						t.Errorf("%q, %v", got, err)
						return
					}
					reads.Add(1)
				}
			})
		})
	}
	for range 10 {
		before := reads.Load()
		mounttest.Eventually(t, func() bool { return reads.Load() > before+500 }, func() string { return "the readers do not get on" })
		unix.Kill(childOf(t, keeper.Process.Pid), unix.SIGKILL)
	}
	over.Store(true)
	group.Wait()
}

// childOf returns the only child of a process.
func childOf(t *testing.T, pid int) (child int) {
	t.Helper()
	mounttest.Eventually(t, func() bool {
		all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		var text []byte
		for _, name := range all {
			part, _ := os.ReadFile(name)
			text = append(text, part...)
		}
		var err error
		child, err = strconv.Atoi(string(bytes.TrimSpace(text)))
		return err == nil
	}, func() string { return "the keeper has no server" })
	return child
}
