package iter

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
)

// oneRow gives a view's one row by its header.
func oneRow(t testing.TB, out string) map[string]string {
	t.Helper()
	all := rows(t, out)
	if len(all) != 1 {
		t.Fatalf("not one row: %q", out)
	}
	return all[0]
}

func number(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCPUAgreesWithCPUStat(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	dir := ktest.Cgroup(t, parent, "busy")
	ktest.Helper{Cgroup: dir, Threads: 4, Mode: "busy", Comm: "t"}.Start(t)
	for _, path := range []string{dir, parent, h.String()} {
		id, stat := ktest.CgroupID(t, path), filepath.Join(path, "cpu.stat")
		for range 100 {
			before := cpuStat(t, stat)
			row := oneRow(t, mustRun(t, views["cpu"], id))
			after := cpuStat(t, stat)
			if row["usage_usec"] == "-" && path == h.String() {
				t.Log("no cpuacct controller here: nothing is known of the root")
				break
			}
			for _, key := range []string{"usage_usec", "user_usec", "system_usec"} {
				// The kernel divides the exact sum by ticks, so user and system may step back
				// by one.
				const tick = 10000
				if v := number(t, row[key]); v < before[key]-tick || v > after[key]+tick {
					t.Fatalf("%s: %s %d, but cpu.stat has %d and then %d",
						path, key, v, before[key], after[key])
				}
			}
			if v := number(t, row["usage_usec"]); path != h.String() &&
				(v < before["usage_usec"] || v > after["usage_usec"]) {
				t.Fatalf("%s: usage %d, but cpu.stat has %d and then %d",
					path, v, before["usage_usec"], after["usage_usec"])
			}
			for _, key := range []string{"nr_periods", "nr_throttled", "throttled_usec"} {
				if _, there := before[key]; there != (row[key] != "-") {
					t.Fatalf("%s: %s is %s, but cpu.stat has %v",
						path, key, row[key], before)
				} else if there && (number(t, row[key]) < before[key] ||
					number(t, row[key]) > after[key]) {
					t.Fatalf("%s: %s is %s, but cpu.stat has %d and then %d",
						path, key, row[key], before[key], after[key])
				}
			}
		}
	}
	// Threads may come and go while they are counted, but not each time.
	for try := 1; ; try++ {
		row := oneRow(t, mustRun(t, views["cpu"], ktest.CgroupID(t, dir)))
		if row["runnable"] == "-" {
			t.Log("this kernel cannot count threads here")
			break
		}
		running, most := number(t, row["running"]), int64(runtime.NumCPU())
		if n := running + number(t, row["runnable"]); n >= 4 && n <= 12 && running <= most {
			break
		} else if try == 20 {
			t.Errorf("of 4 threads that spin on %d CPUs: %v", runtime.NumCPU(), row)
			break
		}
	}
	if row := oneRow(t, mustRun(t, views["cpu"], ktest.CgroupID(t, parent))); row["runnable"] != "-" &&
		row["runnable"]+row["running"] != "00" {
		t.Errorf("threads of a cgroup without any: %v", row)
	}
}

// The kernel knows the sum exactly and divides it by ticks, and a short life has none. The view is read
// first, because the kernel never goes below its last answer.
func TestCPUPartsTimeAsTheKernelDoes(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["cpu"]
	compared := 0
	for try := 0; compared < 20; try++ {
		if try == 200 {
			t.Fatalf("the time of the dead does not stand still: compared %d", compared)
		}
		dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
		work := `echo 0 >"$0"; i=0; while [ $i -lt "$1" ]; do i=$((i+1)); done`
		if out, err := exec.Command("sh", "-c", work, filepath.Join(dir, "cgroup.procs"),
			strconv.Itoa(compared%2*30000)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		row := oneRow(t, mustRun(t, view, ktest.CgroupID(t, dir)))
		stat := cpuStat(t, filepath.Join(dir, "cpu.stat"))
		if number(t, row["usage_usec"]) != stat["usage_usec"] { // the thread was still exiting
			continue
		}
		compared++
		for _, key := range []string{"user_usec", "system_usec"} {
			if v := number(t, row[key]); v < stat[key]-1 || v > stat[key]+1 {
				t.Errorf("%s %d, but cpu.stat has %v", key, v, stat)
			}
		}
	}
}

// A walk remembers times in the order of its cgroups. If one is gone, the others still have their own.
func TestTimesInAShiftedTree(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["cpu"]
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	work := func(name string, steps int) {
		t.Helper()
		script := `echo 0 >"$0"; i=0; while [ $i -lt "$1" ]; do i=$((i+1)); done`
		if out, err := exec.Command("sh", "-c", script, filepath.Join(top, name, "cgroup.procs"),
			strconv.Itoa(steps)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for i := range 5 {
		ktest.Cgroup(t, top, fmt.Sprint(i))
		work(fmt.Sprint(i), i*5000)
	}
	differences := func() (all []string) {
		for _, row := range rows(t, string(mustTree(t, view, records.Text, ktest.CgroupID(t, top)))) {
			file := oneRow(t, mustRun(t, view, uint64(number(t, row["cgroup_id"]))))
			for _, key := range []string{"usage_usec", "user_usec", "system_usec"} {
				if row[key] != file[key] || file["usage_usec"] == "0" {
					all = append(all, fmt.Sprint(row["path"], ": ", key, " ", row[key], ", the file has ", file[key]))
				}
			}
		}
		return all
	}
	for left := 5; left > 0; left-- {
		var all []string
		for range 200 { // a thread may still be exiting
			if all = differences(); len(all) == 0 {
				break
			}
		}
		if len(all) > 0 {
			t.Errorf("with %d cgroups: %s", left, strings.Join(all, "\n"))
		}
		ktest.RemoveCgroup(t, filepath.Join(top, strconv.Itoa(5-left)))
		if left > 1 {
			work("4", 5000)
		}
	}
}

func cpuStat(t testing.TB, path string) map[string]int64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := make(map[string]int64)
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		key, value, _ := strings.Cut(line, " ")
		stat[key] = number(t, value)
	}
	return stat
}

func TestCgroupAgreesWithFiles(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	base := filepath.Base(dir)
	check := func(dir string, level int, name string) map[string]string {
		t.Helper()
		descendants := func() string {
			return fmt.Sprint(ktest.Value(t, filepath.Join(dir, "cgroup.stat"), "nr_descendants"))
		}
		var row map[string]string
		for try := 1; ; try++ { // cgroups of other tests come and go below the root
			before := descendants()
			row = oneRow(t, mustRun(t, views["cgroup"], ktest.CgroupID(t, dir)))
			if before == row["descendants"] && before == descendants() {
				break
			} else if try == 1000 {
				t.Errorf("%s: descendants is %s, want %s", dir, row["descendants"], before)
				break
			}
		}
		controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			t.Fatal(err)
		}
		names := strings.Join(strings.Fields(string(controllers)), ",")
		if names == "" {
			names = "-"
		}
		want := map[string]string{
			"id":          strconv.FormatUint(ktest.CgroupID(t, dir), 10),
			"level":       strconv.Itoa(level),
			"controllers": names,
			"name":        name,
		}
		if level > 0 {
			want["populated"] = strconv.FormatInt(
				ktest.Value(t, filepath.Join(dir, "cgroup.events"), "populated"), 10)
			want["frozen"] = strconv.FormatInt(
				ktest.Value(t, filepath.Join(dir, "cgroup.events"), "frozen"), 10)
		}
		for key, value := range want {
			if row[key] != value {
				t.Errorf("%s: %s is %s, want %s", dir, key, row[key], value)
			}
		}
		return row
	}
	check(h.String(), 0, "/")
	check(dir, 1, base)
	ktest.Helper{Cgroup: dir}.Start(t)
	if row := check(dir, 1, base); row["populated"] != "1" {
		t.Errorf("not populated: %v", row)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	for ktest.Value(t, filepath.Join(dir, "cgroup.events"), "frozen") == 0 {
	}
	if row := check(dir, 1, base); row["frozen"] != "1" {
		t.Errorf("not frozen: %v", row)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}

	// Deep, and with names of every kind but newline, which the kernel refuses. Names are short enough
	// for mkdir(2).
	for level := 2; level <= 25; level++ {
		name, escaped := "a b\\\xff", `a b\\\xff`
		switch level % 8 {
		case 0:
			name, escaped = strings.Repeat("n", 255), strings.Repeat("n", 255)
		case 1:
			name, escaped = "n"+strings.Repeat(" ", 254), "n"+strings.Repeat(" ", 254)
		}
		dir = ktest.Cgroup(t, dir, name)
		check(dir, level, escaped)
	}
}
