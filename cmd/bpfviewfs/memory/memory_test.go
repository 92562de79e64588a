package memory

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
	"github.com/moby/sys/mountinfo"
)

// TestLimit holds that a process finds the limit of a memory cgroup above it, v2 or v1.
func TestLimit(t *testing.T) {
	testenv.NeedsRoot(t)
	machine := Limit("/proc/self")
	if machine < 64<<20 {
		t.Fatalf("%d bytes for this process", machine)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2", "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	tried := false
	for _, m := range mounts {
		limit := "memory.max"
		if m.FSType == "cgroup" {
			limit = "memory.limit_in_bytes"
		}
		group := filepath.Join(m.Mountpoint, fmt.Sprintf("bpfviewfs-test-memory-%d", os.Getpid()))
		if err := os.MkdirAll(group+"/below", 0o755); err != nil {
			continue
		}
		defer os.Remove(group)
		defer os.Remove(group + "/below")
		if err := os.WriteFile(group+"/"+limit, []byte("50331648"), 0); err != nil {
			continue // the controller is not in this hierarchy
		}
		tried = true
		cmd := exec.Command("sh", "-c", "echo $$ >"+group+"/below/cgroup.procs && exec sleep 1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		process := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
		found := func() bool { return Limit(process) == 50331648 }
		for deadline := time.Now().Add(time.Minute); !found(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: the limit is %d", m.Mountpoint, Limit(process))
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
	if !tried {
		t.Error("no hierarchy here has the memory controller")
	}
}

func TestLongestRun(t *testing.T) {
	size, limit := LongestRun(), Limit("/proc/self")
	if size < 64<<20 || size > 256<<20 || size > 64<<20 && size > limit/64 {
		t.Errorf("%d bytes of %d for one run", size, limit)
	}
}

func TestHeld(t *testing.T) {
	for _, c := range []struct{ limit, held int64 }{
		{32 << 20, 8 << 20}, {64 << 20, 16 << 20}, {96 << 20, 27 << 20}, {128 << 20, 39 << 20},
		{160 << 20, 51 << 20}, {1 << 30, 256 << 20}, {16 << 30, 4 << 30},
	} {
		if n := held(c.limit); n != c.held {
			t.Errorf("%d bytes of %d for open files and runs, want %d", n, c.limit, c.held)
		}
	}
}
