package iter

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"golang.org/x/sys/unix"
)

// procProcess has the values of a process from /proc, in the view's words. Memory is in bytes, times in µs.
func procProcess(t *testing.T, pid int) map[string]string {
	t.Helper()
	living := ktest.LivingThreads(t, pid)
	first := fmt.Sprintf("/proc/%d/task/%d/", pid, living[0])
	p := make(map[string]string)
	status := procFields(t, first+"status")
	p["threads"], p["uid"] = strconv.Itoa(len(living)), strings.Fields(status["Uid"])[1]
	for column, key := range map[string]string{
		"rss_bytes": "VmRSS", "anon_bytes": "RssAnon", "file_bytes": "RssFile",
		"shmem_bytes": "RssShmem", "swap_bytes": "VmSwap",
	} {
		kb, _, _ := strings.Cut(status[key], " ")
		p[column] = strconv.FormatInt(1024*number(t, kb), 10)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	p["ppid"], p["major_faults"] = f[1], f[9]
	for column, ticks := range map[string]string{"user_usec": f[11], "system_usec": f[12],
		"start_usec": f[19]} {
		p[column] = strconv.FormatInt(tick*number(t, ticks), 10)
	}
	adj, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	p["oom_score_adj"] = strings.TrimSpace(string(adj))
	fds, err := os.ReadDir(first + "fd")
	if err != nil {
		t.Fatal(err)
	}
	p["open_files"] = strconv.Itoa(len(fds))
	p["comm"] = procComm(t, pid)
	exe, err := os.Readlink(first + "exe")
	if err != nil {
		t.Fatal(err)
	}
	p["program"] = strings.TrimSuffix(filepath.Base(exe), " (deleted)")
	return p
}

const tick = 10000 // µs

func procFields(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return fields
}

func TestProcessesOfTheZoo(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	parent := 0
	for i, kind := range ktest.Animals {
		pid := ktest.StartAnimal(t, dir, kind)
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid),
			[]byte(strconv.Itoa(100*i)), 0); err != nil {
			t.Fatal(err)
		}
		if kind == "vfork" {
			parent = pid
		}
	}
	vfork := make(map[string]bool) // processes that borrow their parent's memory
	for _, id := range ktest.IDs(t, dir, "cgroup.procs") {
		vfork[strconv.Itoa(id)] = readProc(t, id, id).ppid == parent
	}
	for name, v := range flavours(t, views["processes"]) {
		t.Run(name, func(t *testing.T) { checkProcesses(t, v, dir, vfork) })
	}
	once := make(map[string]int)
	for _, row := range rows(t, mustRun(t, views["tasks"], ktest.CgroupID(t, dir))) {
		if row["rss_bytes"] != "-" {
			once[row["pid"]]++
		}
	}
	for _, row := range rows(t, mustRun(t, views["processes"], ktest.CgroupID(t, dir))) {
		if want := map[bool]int{false: 1}[vfork[row["pid"]]]; once[row["pid"]] != want {
			t.Errorf("tasks has the memory of process %s %d times, want %d",
				row["pid"], once[row["pid"]], want)
		}
	}
}

func checkProcesses(t *testing.T, v *View, dir string, vfork map[string]bool) {
	t.Helper()
	before, missing := make(map[string]map[string]string), make(map[string]bool)
	for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
		if len(ktest.LivingThreads(t, pid)) > 0 {
			before[strconv.Itoa(pid)], missing[strconv.Itoa(pid)] = procProcess(t, pid), true
		}
	}
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		was := before[row["pid"]]
		if !missing[row["pid"]] {
			t.Fatalf("a row too many: %v", row)
		}
		delete(missing, row["pid"])
		pid, _ := strconv.Atoi(row["pid"])
		is := procProcess(t, pid)
		was["cgroup2_id"] = strconv.FormatUint(ktest.CgroupID(t, dir), 10)
		is["cgroup2_id"] = was["cgroup2_id"]
		for column, want := range was {
			checkProcess(t, row, column, want, is[column], vfork[row["pid"]])
		}
	}
	if len(missing) > 0 {
		t.Errorf("missing: %v", missing)
	}
}

// checkProcess holds a column to the values of /proc before and after.
func checkProcess(t *testing.T, row map[string]string, column, before, after string, vfork bool) {
	t.Helper()
	got := row[column]
	slack := int64(0)
	switch column {
	case "rss_bytes", "anon_bytes", "file_bytes", "shmem_bytes", "swap_bytes":
		if vfork {
			before, after = "-", "-"
		}
		// The slack of checkRow, of each kind.
		slack = int64(3*max(64, 2*runtime.NumCPU())*runtime.NumCPU()) * int64(os.Getpagesize())
	case "user_usec", "system_usec":
		slack = 2 * tick
	case "start_usec":
		slack = tick
	case "threads": // a Go program makes threads at any time
		if before != after {
			return
		}
	}
	if slack == 0 || before == "-" {
		if got != before && got != after {
			t.Errorf("%s is %q, but /proc has %q: %v", column, got, before, row)
		}
		return
	}
	n, low, high := number(t, got), number(t, before), number(t, after)
	if n < min(low, high)-slack || n > max(low, high)+slack {
		t.Errorf("%s is %d, but /proc has %d and then %d: %v", column, n, low, high, row)
	}
}

// The table of a process that had many files open is large. Files that were closed again do not count.
func TestProcessesOfManyFiles(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["processes"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	files := make([]*os.File, 700)
	for i := range files {
		files[i] = os.Stdout
	}
	ktest.Helper{Cgroup: dir, Files: files}.Start(t)
	ktest.Helper{Cgroup: dir, Files: files[:61]}.Start(t)
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		pid, _ := strconv.Atoi(row["pid"])
		if want := procProcess(t, pid)["open_files"]; row["open_files"] != want ||
			number(t, want) < 61 {
			t.Errorf("%s open files, but /proc has %s", row["open_files"], want)
		}
	}
}

// A process with threads in several cgroups is shown with all of them in the cgroup of the first.
func TestProcessesOfThreadedCgroups(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["processes"]
	domain, dirs := ktest.ThreadedTree(t, h.String(), "a", "b")
	for name, v := range flavours(t, v) {
		for _, kind := range []string{"", "headless"} {
			pid := ktest.StartAnimal(t, domain, kind)
			living := ktest.LivingThreads(t, pid)
			ktest.MoveThread(t, dirs[0], "cgroup.threads", living[0])
			ktest.MoveThread(t, dirs[1], "cgroup.threads", living[1])
			for _, dir := range append(dirs, domain) {
				shown := ""
				if out := mustRun(t, v, ktest.CgroupID(t, dir)); strings.Contains(out, "\n") {
					for _, row := range rows(t, out) {
						shown += row["pid"] + " "
					}
				}
				if strings.Contains(shown, strconv.Itoa(pid)) != (dir == dirs[0]) {
					t.Errorf("%s, %s: %s has processes %q, %d lives in %s",
						name, kind, dir, shown, pid, dirs[0])
				}
			}
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}
