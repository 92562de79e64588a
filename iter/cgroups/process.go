package cgroups

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// IsAlone reports whether a process has one thread and never had another that still counts. The directory of
// its threads has a link for each, and two more (proc_task_getattr in fs/proc/base.c).
func IsAlone(pid uint32) bool {
	var st unix.Stat_t
	return unix.Stat(fmt.Sprintf("/proc/%d/task", pid), &st) == nil && st.Nlink == 3
}

// ProcessOf is the process of a thread, or 0 if the thread is gone.
func ProcessOf(tid uint32) (uint32, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the process of a thread: %w", err)
	}
	var pid uint32
	_, tgid, _ := bytes.Cut(status, []byte("\nTgid:"))
	if _, err := fmt.Fscan(bytes.NewReader(tgid), &pid); err != nil {
		return 0, nil // it is being removed
	}
	return pid, nil
}

// ThreadsOf adds the threads of a process to known.
func ThreadsOf(pid uint32, known map[uint32]bool) error {
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("list the threads of a process: %w", err)
	}
	for _, name := range names {
		if tid, err := strconv.ParseUint(name.Name(), 10, 32); err == nil {
			known[uint32(tid)] = true
		}
	}
	return nil
}
