package iter

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/records"
)

// kernelFile is the file of the cgroup that has the value of a column; key is for a flat keyed file.
type kernelFile struct{ file, key string }

var memoryFiles = map[string]kernelFile{
	"usage_bytes":           {"memory.current", ""},
	"peak_bytes":            {"memory.peak", ""},
	"min_bytes":             {"memory.min", ""},
	"low_bytes":             {"memory.low", ""},
	"high_bytes":            {"memory.high", ""},
	"max_bytes":             {"memory.max", ""},
	"swap_bytes":            {"memory.swap.current", ""},
	"swap_peak_bytes":       {"memory.swap.peak", ""},
	"swap_high_bytes":       {"memory.swap.high", ""},
	"swap_max_bytes":        {"memory.swap.max", ""},
	"low_events":            {"memory.events", "low"},
	"high_events":           {"memory.events", "high"},
	"max_events":            {"memory.events", "max"},
	"oom_events":            {"memory.events", "oom"},
	"oom_kill_events":       {"memory.events", "oom_kill"},
	"oom_group_kill_events": {"memory.events", "oom_group_kill"},
	"swap_high_events":      {"memory.swap.events", "high"},
	"swap_max_events":       {"memory.swap.events", "max"},
	"swap_fail_events":      {"memory.swap.events", "fail"},
	"local_low_events":      {"memory.events.local", "low"},
	"local_high_events":     {"memory.events.local", "high"},
	"local_max_events":      {"memory.events.local", "max"},
	"local_oom_events":      {"memory.events.local", "oom"},
	"local_oom_kill_events": {"memory.events.local", "oom_kill"},
}

var memoryItems = map[string]kernelFile{
	"anon_bytes":               {"memory.stat", "anon"},
	"file_bytes":               {"memory.stat", "file"},
	"shmem_bytes":              {"memory.stat", "shmem"},
	"file_mapped_bytes":        {"memory.stat", "file_mapped"},
	"file_dirty_bytes":         {"memory.stat", "file_dirty"},
	"file_writeback_bytes":     {"memory.stat", "file_writeback"},
	"kernel_bytes":             {"memory.stat", "kernel"},
	"slab_reclaimable_bytes":   {"memory.stat", "slab_reclaimable"},
	"slab_unreclaimable_bytes": {"memory.stat", "slab_unreclaimable"},
	"kernel_stack_bytes":       {"memory.stat", "kernel_stack"},
	"pagetables_bytes":         {"memory.stat", "pagetables"},
	"sock_bytes":               {"memory.stat", "sock"},
}

var memoryFilesV1 = map[string]kernelFile{
	"usage_bytes":           {"memory.usage_in_bytes", ""},
	"peak_bytes":            {"memory.max_usage_in_bytes", ""},
	"max_bytes":             {"memory.limit_in_bytes", ""},
	"local_oom_kill_events": {"memory.oom_control", "oom_kill"},
}

// memoryHierarchy is the one hierarchy of this machine that has the memory controller.
func memoryHierarchy(t *testing.T) *cgroups.Hierarchy {
	t.Helper()
	h := testHierarchy(t, "")
	controllers, err := os.ReadFile(filepath.Join(h.String(), "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(controllers)), "memory") {
		return testHierarchy(t, "/sys/fs/cgroup/memory")
	}
	enableMemory(t, h.String())
	return h
}

func enableMemory(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, dir, "cgroup.subtree_control", "+memory")
}

func writeFile(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryAgreesWithFiles(t *testing.T) {
	h := memoryHierarchy(t)
	v := testViews(t, h, Options{})["memory"]
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	sources := memoryFilesV1
	if !h.V1() {
		sources = memoryFiles
		enableMemory(t, parent)
	}
	dir := ktest.Cgroup(t, parent, "memory")
	if h.V1() {
		writeFile(t, dir, "memory.swappiness", "0")
		writeFile(t, dir, "memory.limit_in_bytes", "16M")
	} else {
		for file, value := range map[string]string{"min": "4096", "low": "max", "high": "max",
			"max": "16M", "swap.max": "0", "swap.high": "40960"} {
			// swap.* needs CONFIG_SWAP
			if _, err := os.Stat(filepath.Join(dir, "memory."+file)); err == nil {
				writeFile(t, dir, "memory."+file, value)
			}
		}
	}
	hog := `echo $$ >"$0"/cgroup.procs && x=x && while :; do x=$x$x; done`
	if out, err := exec.Command("sh", "-c", hog, dir).CombinedOutput(); err == nil || len(out) > 0 {
		t.Fatalf("who takes more than the limit ended with %v: %s", err, out)
	}
	ktest.Helper{Cgroup: dir, Mode: "maps", Comm: "t"}.Start(t)

	if kills := number(t, checkMemory(t, v, dir, sources)["local_oom_kill_events"]); kills < 1 {
		t.Errorf("%d kills", kills)
	}
	above := checkMemory(t, v, parent, sources)
	for way, v := range ways(t, v) {
		tree := rows(t, string(mustTree(t, v, records.Text, ktest.CgroupID(t, parent))))
		if len(tree) != 2 || tree[0]["path"] != "." || tree[1]["path"] != "memory" ||
			tree[0]["max_bytes"] != "-" || tree[1]["max_bytes"] != "16777216" {
			t.Errorf("%s: tree %v", way, tree)
		}
	}
	if h.V1() {
		for _, column := range []string{"max_events", "oom_kill_events", "swap_fail_events"} {
			if above[column] != "-" {
				t.Errorf("%s is %s, but nobody sums it up", column, above[column])
			}
		}
		if root := checkMemory(t, v, h.String(), sources); number(t, root["usage_bytes"]) < 1<<20 {
			t.Errorf("the root: %v", root)
		}
		return
	}
	if number(t, above["oom_kill_events"]) < 1 || above["local_oom_kill_events"] != "0" ||
		above["high_bytes"] != "-" {
		t.Errorf("the cgroup above: %v", above)
	}
	checkItems(t, v, dir, h.String())
	if rows := rows(t, mustRun(t, v, ktest.CgroupID(t, ktest.Cgroup(t, dir, "without")))); len(rows) > 0 {
		t.Errorf("a cgroup without the controller: %v", rows)
	}
}

// checkMemory compares every column that has a file on this kernel, and gives the row.
func checkMemory(t *testing.T, v *View, dir string, sources map[string]kernelFile) (row map[string]string) {
	t.Helper()
	compared := 0
	for column, from := range sources {
		if _, err := os.Stat(filepath.Join(dir, from.file)); err != nil {
			continue
		}
		row = checkColumn(t, v, dir, column, from)
		compared++
	}
	if compared < 4 {
		t.Errorf("%s: only %d columns have a file", dir, compared)
	}
	return row
}

// checkColumn reads the file, the view and the file again until all say the same. If the file said the same
// twice and the view did not, the value may have changed and changed back, but not often.
func checkColumn(t *testing.T, v *View, dir, column string, from kernelFile) map[string]string {
	t.Helper()
	differ := 0
	for range 1000 {
		before := from.read(t, dir)
		row := oneRow(t, mustRun(t, v, ktest.CgroupID(t, dir)))
		if after := from.read(t, dir); before != after {
			continue
		}
		if row[column] == before {
			return row
		}
		if differ++; differ == 10 {
			t.Errorf("%s: %s is %s, but %v has %s", dir, column, row[column], from, before)
			return row
		}
	}
	t.Fatalf("%s: %v never stands still", dir, from)
	return nil
}

// read gives the value as the view shows it. It is - for no limit, and for a key that this kernel lacks.
func (f kernelFile) read(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, f.file))
	if err != nil {
		t.Fatal(err)
	}
	if f.key == "" {
		value := strings.TrimSpace(string(b))
		page := int64(os.Getpagesize())
		// The latter is no limit on v1.
		if none := strconv.FormatInt(math.MaxInt64/page*page, 10); value == "max" || value == none {
			return "-"
		}
		return value
	}
	for line := range strings.Lines(string(b)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == f.key {
			return value
		}
	}
	return "-"
}

// The items are there exactly if the kernel has functions that read them (v7.0). The root has nothing else.
func checkItems(t *testing.T, v *View, dir, root string) {
	t.Helper()
	ofRoot := rows(t, mustRun(t, v, ktest.CgroupID(t, root)))
	if ktest.HasFunction(t, "bpf_mem_cgroup_page_state") {
		if row := checkMemory(t, v, dir, memoryItems); number(t, row["anon_bytes"]) < lockedSize {
			t.Errorf("less memory than is locked: %v", row)
		}
		if len(ofRoot) != 1 || ofRoot[0]["usage_bytes"] != "-" || ofRoot[0]["kernel_bytes"] == "-" {
			t.Errorf("the root: %v", ofRoot)
		}
		return
	}
	row := oneRow(t, mustRun(t, v, ktest.CgroupID(t, dir)))
	for item := range memoryItems {
		if row[item] != "-" {
			t.Errorf("%s is %s, and who said so?", item, row[item])
		}
	}
	if len(ofRoot) > 0 {
		t.Errorf("the root: %v", ofRoot)
	}
}
