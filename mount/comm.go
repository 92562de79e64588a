package mount

import (
	"bytes"
	"os"
	"path/filepath"
)

// processName is what ps, top, pgrep and the kernel's OOM messages call keepers and servers. Their arguments tell them apart.
const processName = "bpfviewfs"

// setComm gives the name to all threads of this process. A thread is named after the file that was executed, here exe and
// 100 in /proc/self, or after the thread that started it, see PR_SET_NAME in prctl(2). A thread that starts during one pass is
// found by the next.
func setComm() {
	for changed := true; changed; {
		changed = false
		threads, _ := filepath.Glob("/proc/self/task/*/comm")
		for _, path := range threads {
			name, err := os.ReadFile(path)
			if err == nil && string(bytes.TrimSpace(name)) != processName {
				changed = os.WriteFile(path, []byte(processName), 0) == nil || changed
			}
		}
	}
}
