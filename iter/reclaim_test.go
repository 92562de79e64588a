package iter

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"golang.org/x/sys/unix"
)

// memoryCgroup makes a cgroup of cgroup2 or v1 with the memory controller. A write of amount to its file
// makes the writer reclaim.
func memoryCgroup(t *testing.T, h *cgroups.Hierarchy) (dir, file, amount string) {
	t.Helper()
	os.WriteFile(filepath.Join(h.String(), "cgroup.subtree_control"), []byte("+memory"), 0)
	dir = ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	file = filepath.Join(dir, "memory.reclaim")
	if _, err := os.Stat(file); err == nil {
		return dir, file, "64K"
	}
	dir = ktest.Cgroup(t, "/sys/fs/cgroup/memory", "bpfviewfs-test-*")
	return dir, filepath.Join(dir, "memory.force_empty"), "0"
}

func TestReclaimCountsInTheRightCgroup(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{}, "reclaim")["reclaim"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	other, file, amount := memoryCgroup(t, h)
	ktest.Helper{Cgroup: other, Threads: 1, Comm: "t"}.Start(t) // has memory to be reclaimed
	see := func(dir string) map[string]string {
		return oneRow(t, mustRun(t, view, ktest.CgroupID(t, dir)))
	}
	if row := see(dir); row["limit_count"] != "0" || row["limit_p50_usec"] != "-" ||
		row["limit_sum_usec"] != "0" {
		t.Errorf("before anything happened: %v", row)
	}
	sh := exec.Command("sh", "-c", `echo 0 >"$0" && echo "$1" >"$2"`, filepath.Join(dir, "cgroup.procs"),
		amount, file)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Logf("%v: %s", err, out) // it may find nothing to reclaim, and has tried
	}
	if row := see(dir); number(t, row["limit_count"]) < 1 || number(t, row["limit_sum_usec"]) < 1 ||
		row["limit_p50_usec"] == "-" {
		t.Errorf("after a reclaim: %v", row)
	}
}

func init() { ktest.Jobs["hog"] = hog }

// hog joins a cgroup and takes memory until it is killed. The OOM killer prefers it to all processes.
func hog(procs string) error {
	err := errors.Join(os.WriteFile(procs, []byte("0"), 0),
		os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0))
	for err == nil {
		_, err = unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	}
	return err
}

// A thread that takes the machine's last memory has to free some before the OOM killer comes. Run it only on
// a machine without other users.
func TestReclaimOfTheMachine(t *testing.T) {
	if os.Getenv("BPFVIEWFS_TEST_VM") == "" {
		t.Log("in a virtual machine alone")
		return
	}
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{}, "reclaim")["reclaim"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	empty := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	cmd := ktest.Command("hog;" + filepath.Join(dir, "cgroup.procs"))
	if out, err := cmd.CombinedOutput(); err == nil ||
		cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Fatalf("who takes all memory ended with %v: %s", err, out)
	}
	see := func(dir string) map[string]string {
		return oneRow(t, mustRun(t, view, ktest.CgroupID(t, dir)))
	}
	if row := see(dir); number(t, row["machine_count"]) < 1 ||
		number(t, row["machine_sum_usec"]) < 1 ||
		row["machine_p50_usec"] == "-" || row["limit_count"] != "0" {
		t.Errorf("who took all memory: %v", row)
	}
	if row := see(empty); row["machine_count"] != "0" {
		t.Errorf("a cgroup without threads: %v", row)
	}
}
