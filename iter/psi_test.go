package iter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
)

// pressure is a line of a pressure file: its averages and the total.
type pressure struct {
	averages string
	total    int64 // µs
}

// pressures gives the lines of a cgroup's pressure files as "cpu some" and so on. Reading makes the kernel
// sum up.
func pressures(t testing.TB, dir string, root bool) map[string]pressure {
	t.Helper()
	lines := make(map[string]pressure)
	for _, resource := range []string{"cpu", "memory", "io", "irq"} {
		path := filepath.Join(dir, resource+".pressure")
		if root {
			path = "/proc/pressure/" + resource
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			averages, total, _ := strings.Cut(strings.TrimSpace(line), " total=")
			kind, averages, _ := strings.Cut(averages, " ")
			lines[resource+" "+kind] = pressure{averages, number(t, total)}
		}
	}
	if root {
		delete(lines, "cpu full") // not defined
	}
	return lines
}

func TestPSIAgreesWithPressureFiles(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["psi"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Threads: 8, Mode: "busy", Comm: "t"}.Start(t)
	for strings.HasPrefix(pressures(t, dir, false)["cpu some"].averages, "avg10=0.") {
	}
	for range 100 {
		checkPressure(t, v, dir, false)
		checkPressure(t, v, h.String(), true)
	}
	if cpu := psiRows(t, v, dir)["cpu some"]; cpu["cpus"] == "0" {
		t.Errorf("nobody waits for a CPU: %v", cpu)
	}
	for way, v := range ways(t, v) {
		if tree := rows(t, string(mustTree(t, v, records.Text, ktest.CgroupID(t, dir)))); len(
			tree) != len(psiRows(t, v, dir)) {
			t.Errorf("%s: tree %v", way, tree)
		}
	}
	writeFile(t, dir, "cgroup.pressure", "0")
	if rows := psiRows(t, v, dir); len(rows) > 0 {
		t.Errorf("pressure is off: %v", rows)
	}
}

// TestPSIOfTreeFollowsChanges holds that each cgroup of a tree is shown with its own pressure, also if an
// earlier read met others in its place. Pressure that is off tells them apart.
func TestPSIOfTreeFollowsChanges(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["psi"]
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	a, b := ktest.Cgroup(t, top, "a"), ktest.Cgroup(t, top, "b")
	ways := ways(t, v)
	for _, step := range []struct {
		change func() error
		want   string
	}{
		{func() error { return nil }, ". a b "},
		{func() error { writeFile(t, a, "cgroup.pressure", "0"); return nil }, ". b "},
		{func() error { return errors.Join(os.Remove(a), os.Mkdir(a, 0o755)) }, ". b a "},
		{func() error { writeFile(t, b, "cgroup.pressure", "0"); return nil }, ". a "},
		{func() error { return os.Remove(b) }, ". a "},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		for way, v := range ways {
			got := ""
			for _, row := range rows(t, string(mustTree(t, v, records.Text, ktest.CgroupID(t, top)))) {
				if row["resource"]+row["kind"] == "cpusome" {
					got += row["path"] + " "
				}
			}
			if got != step.want {
				t.Errorf("%s: pressure of %q, not %q", way, got, step.want)
			}
		}
	}
}

func psiRows(t testing.TB, v *View, dir string) map[string]map[string]string {
	t.Helper()
	byKind := make(map[string]map[string]string)
	for _, row := range rows(t, mustRun(t, v, ktest.CgroupID(t, dir))) {
		byKind[row["resource"]+" "+row["kind"]] = row
	}
	return byKind
}

func checkPressure(t *testing.T, v *View, dir string, root bool) {
	t.Helper()
	before := pressures(t, dir, root)
	rows := psiRows(t, v, dir)
	after := pressures(t, dir, root)
	if len(rows) != len(before) {
		t.Fatalf("%s: %v, but the files have %v", dir, rows, before)
	}
	for key, row := range rows {
		b, a := before[key], after[key]
		if total := number(t, row["total_nsec"]) / 1000; total < b.total || total > a.total {
			t.Fatalf("%s: %s total %d µs, but the file has %d and then %d",
				dir, key, total, b.total, a.total)
		}
		if averages := averages(t, row); b.averages == a.averages && averages != b.averages {
			t.Fatalf("%s: %s %s, but the file has %s", dir, key, averages, b.averages)
		}
		if unknown := row["cpus"] == "-"; unknown != (row["resource"] == "irq") {
			t.Fatalf("%s: %s on %s CPUs", dir, key, row["cpus"])
		}
	}
}

// averages shows the averages of a row as the files do, in percent, cut off after two places.
func averages(t testing.TB, row map[string]string) string {
	t.Helper()
	var all []string
	for _, window := range []string{"avg10", "avg60", "avg300"} {
		hundredths := number(t, row[window+"_ppm"]) / 100
		all = append(all, fmt.Sprintf("%s=%d.%02d", window, hundredths/100, hundredths%100))
	}
	return strings.Join(all, " ")
}

// The kernel leaves the averages of an idle cgroup alone until its files are read.
func TestPSIAveragesOfIdleCgroupsFade(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["psi"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	avg10 := func() int64 { return number(t, psiRows(t, v, dir)["cpu some"]["avg10_ppm"]) }
	ktest.Helper{Cgroup: dir, Threads: 8, Mode: "busy", Comm: "t"}.Start(t)
	for avg10() < 200_000 {
	}
	killAll(t, dir)
	peak := avg10()
	for avg10() > peak/2 { // the kernel's worker does some two updates, of a fifth each, before it sleeps
	}
	most := float64(avg10()) / 10_000
	text, _, _ := strings.Cut(strings.TrimPrefix(pressures(t, dir, false)["cpu some"].averages, "avg10="),
		" ")
	kernel, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	least := float64(avg10()) / 10_000
	if kernel < least-least/4 || kernel > most+most/4 { // an update more or less
		t.Errorf("avg10 %.2f and then %.2f, but the kernel made it %.2f", most, least, kernel)
	}
}

func killAll(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, dir, "cgroup.kill", "1")
	for ktest.Value(t, filepath.Join(dir, "cgroup.events"), "populated") != 0 {
	}
}
