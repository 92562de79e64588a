package iter

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// memoryCgroup makes a cgroup whose memory is accounted for, of cgroup2 or of v1, and gives the file of it that a write
// to makes the writer reclaim, and what to write.
func memoryCgroup(t *testing.T, h *Hierarchy) (dir, file, amount string) {
	t.Helper()
	os.WriteFile(filepath.Join(h.String(), "cgroup.subtree_control"), []byte("+memory"), 0)
	dir = testCgroup(t, h.String(), "bpfviewfs-test-*")
	file = filepath.Join(dir, "memory.reclaim")
	if _, err := os.Stat(file); err == nil {
		return dir, file, "64K"
	}
	dir = testCgroup(t, "/sys/fs/cgroup/memory", "bpfviewfs-test-*")
	return dir, filepath.Join(dir, "memory.force_empty"), "0"
}

func TestReclaimCountsInTheRightCgroup(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{}, "reclaim")["reclaim"]
	dir := testCgroup(t, h.String(), "bpfviewfs-test-*")
	other, file, amount := memoryCgroup(t, h)
	helper{cgroup: other, threads: 1, comm: "t"}.start(t) // has memory to be reclaimed
	see := func(dir string) map[string]string { return oneRow(t, mustRun(t, view, cgroupID(t, dir))) }
	if row := see(dir); row["limit_usec_count"] != "0" || row["limit_usec_p50"] != "-" || row["limit_sum_usec"] != "0" {
		t.Errorf("before anything happened: %v", row)
	}
	sh := exec.Command("sh", "-c", `echo 0 >"$0" && echo "$1" >"$2"`, filepath.Join(dir, "cgroup.procs"), amount, file)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Logf("%v: %s", err, out) // it may find nothing to reclaim, and has tried
	}
	if row := see(dir); number(t, row["limit_usec_count"]) < 1 || number(t, row["limit_sum_usec"]) < 1 || row["limit_usec_p50"] == "-" {
		t.Errorf("after a reclaim: %v", row)
	}
}
