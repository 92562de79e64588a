package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestUnion reads several views in one file, as root and as a user, and with a file that stays open while the
// server is replaced.
func TestUnion(t *testing.T) {
	testenv.Needs(t, "jq")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	t.Cleanup(c.removeChildren)
	for _, name := range []string{"a", "b", "c d"} {
		if err := os.Mkdir(c.path+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	views := func(text string) (views []string, snapshot bool) {
		for line := range strings.Lines(text) {
			var l struct {
				View     string
				Snapshot map[string]uint64
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if l.View != "" && !slices.Contains(views, l.View) {
				views = append(views, l.View)
			}
			snapshot = l.Snapshot["end_boottime_usec"] >= l.Snapshot["begin_boottime_usec"] &&
				l.Snapshot["skew_nsec"] > 0
		}
		return views, snapshot
	}
	for _, file := range []string{"all/psi+cpu.json", "tree/psi+cpu.json"} {
		text := read(t, c.mirror+"/.bpfview/"+file)
		if got, snapshot := views(text); !slices.Equal(got, []string{"psi", "cpu"}) || !snapshot {
			t.Errorf("%s has views %q, the snapshot at its end: %t", file, got, snapshot)
		}
		rows := strings.Count(text, `"view":"cpu"`)
		if want := map[bool]int{true: 4, false: 1}[strings.HasPrefix(file, "tree")]; rows != want {
			t.Errorf("%s has %d rows of cpu, not %d:\n%s", file, rows, want, text)
		}
	}
	if text := read(t, c.mirror+"/.bpfview/tree/cpu+psi"); !strings.HasPrefix(text, "# cpu\n") ||
		!strings.Contains(text, "\n\n# psi\n") {
		t.Errorf("the text has no section for each view:\n%s", text)
	}
	out, err := exec.Command("jq", "-es", `map(select(.view == "cpu")) | length == 4`,
		c.mirror+"/.bpfview/tree/all.json").CombinedOutput()
	if err != nil {
		t.Errorf("jq: %v: %s", err, out)
	}

	for name, why := range map[string]string{
		"cpu+tasks.json": "a row for each process", "cpu+cpu": "twice",
		"cpu+nothing": "no view is called",
	} {
		if _, err := os.ReadFile(c.mirror + "/.bpfview/tree/" + name); !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %v", name, err)
		}
		if text := read(t, dir+"/.bpfview/errors"); !strings.Contains(text, why) {
			t.Errorf("%s: no %q in\n%s", name, why, text)
		}
	}

	open, err := os.Open(c.mirror + "/.bpfview/tree/cpu+psi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if out, err := exec.Command(command, "reload", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	buf := make([]byte, 1<<20)
	for range 2 {
		n, err := open.ReadAt(buf, 0)
		if got, snapshot := views(string(buf[:n])); !slices.Equal(got, []string{"cpu", "psi"}) ||
			!snapshot {
			t.Errorf("the open file has views %q, the snapshot at its end: %t (%v)",
				got, snapshot, err)
		}
	}
}
