package wire

import (
	"bytes"
	"os"
	"path/filepath"
)

// ProcessName is the name of keepers and servers in ps, top, pgrep and OOM messages. Their arguments differ.
const ProcessName = "bpfviewfs"

// StandbyName is the name of the first thread of a standby in place of ProcessName.
const StandbyName = "bpfviewfs-stdby"

// NameProcess gives the name of the process, which is that of its first thread.
func NameProcess(name string) { _ = os.WriteFile("/proc/self/comm", []byte(name), 0) }

// NameThreads gives the name to all threads of this process. A thread is named after the executed file, here
// exe or 100 in /proc/self, or after the thread that started it (PR_SET_NAME in prctl(2)). A second pass finds
// a thread that started during the first.
func NameThreads() {
	for changed := true; changed; {
		changed = false
		threads, _ := os.ReadDir("/proc/self/task")
		for _, thread := range threads {
			path := filepath.Join("/proc/self/task", thread.Name(), "comm")
			name, err := os.ReadFile(path)
			if err == nil && string(bytes.TrimSpace(name)) != ProcessName {
				changed = os.WriteFile(path, []byte(ProcessName), 0) == nil || changed
			}
		}
	}
}
