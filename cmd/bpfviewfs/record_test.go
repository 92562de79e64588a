package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestRecord records a cgroup, kills the recorder, goes on, and reads the recording in all ways.
func TestRecord(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "mode=0444", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	busy := c.child("busy.service")
	busy.run(exec.Command("sh", "-c", "while :; do :; done"))
	name, file := filepath.Base(c.path), filepath.Join(t.TempDir(), "x.rec")
	args := []string{"record", "--mount", dir, "--every", "100ms", file, "cpu", name}

	first := exec.Command(command, args...)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some snapshots", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 2000
	})
	if code, _, stderr := call(t, exec.Command(command, args...)); code != 2 ||
		!strings.Contains(stderr, "another recorder") {
		t.Errorf("two recorders: exit %d: %s", code, stderr)
	}
	unix.Kill(first.Process.Pid, unix.SIGKILL)
	first.Wait()
	if code, out, stderr := call(t, exec.Command(command, append(args, "--count", "4")...)); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, stderr)
	}

	code, out, stderr := call(t, exec.Command(command, "replay", "--dump", "json", file))
	var shares []float64
	for line := range strings.Lines(out) {
		var row struct {
			Path  string
			Usage *float64 `json:"usage_percent"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if row.Path == "busy.service" && row.Usage != nil {
			shares = append(shares, *row.Usage)
		}
	}
	if code != 0 || len(shares) < 5 || shares[len(shares)-1] <= 0 {
		t.Errorf("exit %d: usage %v: %s", code, shares, stderr)
	}
	if _, err := csv.NewReader(strings.NewReader(mustRun(t, "replay", "--dump", "csv", file))).ReadAll(); err != nil {
		t.Error(err)
	}
	text := mustRun(t, "replay", "--dump", "openmetrics", file)
	if !strings.Contains(text, "# TYPE bpfview_cpu_usage_seconds counter\n") ||
		!strings.HasSuffix(text, "# EOF\n") ||
		!strings.Contains(text, `bpfview_cpu_usage_seconds_total{cgroup="busy.service"} `) {
		t.Errorf("OpenMetrics:\n%.500s", text)
	}
	if text := mustRun(t, "replay", "--once", file); !strings.Contains(text, "busy.service") {
		t.Errorf("replay --once:\n%s", text)
	}

	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, []byte("not a recording, and dear to somebody"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", foreign}, "no recording"},
		{[]string{"replay", foreign + "x"}, "no such file"},
		{[]string{"record", "--mount", dir, foreign}, "no recording"},
		{[]string{"record", "--mount", dir, "/nonexistent/x"}, "no such file"},
		{[]string{"record", "--mount", dir, "/dev/full"}, "/dev/full"},
	} {
		if code, out, stderr := call(t, exec.Command(command, tt.args...)); code != 2 ||
			!strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d: %s%s", tt.args, code, out, stderr)
		}
	}
	if text := read(t, foreign); text != "not a recording, and dear to somebody" {
		t.Errorf("the foreign file became %q", text)
	}
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, out, stderr := call(t, exec.Command(command, args...))
	if code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, stderr)
	}
	return out
}
