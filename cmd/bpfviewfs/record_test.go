package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	args := []string{"record", "--mount", dir, "--every", "100ms", file, "cpu", "psi", name}

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
	if code != 0 || len(shares) < 5 || slices.Max(shares) <= 0 { // it may have no CPU for one interval
		t.Errorf("exit %d: usage %v: %s", code, shares, stderr)
	}
	dump := csv.NewReader(strings.NewReader(mustRun(t, "replay", "--dump", "csv", file)))
	dump.FieldsPerRecord = -1 // each view has columns of its own
	if _, err := dump.ReadAll(); err != nil {
		t.Error(err)
	}
	code, out, stderr = call(t, exec.Command(command, "replay", "--dump", "csv", "--at", "-1s", file))
	if code != 1 || out != "" || !strings.Contains(stderr, "--at") {
		t.Errorf("replay --dump --at: exit %d, %s", code, stderr)
	}
	text := mustRun(t, "replay", "--dump", "openmetrics", file)
	if !strings.Contains(text, "# TYPE bpfview_cpu_usage_seconds counter\n") ||
		!strings.HasSuffix(text, "# EOF\n") ||
		!strings.Contains(text, `bpfview_cpu_usage_seconds_total{cgroup="busy.service"} `) {
		t.Errorf("OpenMetrics:\n%.500s", text)
	}
	if text := mustRun(t, "show", "--from", file, "cpu", "busy", "--columns", "usage,running"); !strings.Contains(text,
		"\nUSAGE% RUNNING\n") || strings.Contains(text, " - ") {
		t.Errorf("show --from:\n%s", text)
	}
	// Averages are left out, and the time of stalls has all that they have.
	if text := mustRun(t, "show", "--from", file, "psi", "busy"); strings.Contains(text, "AVG") ||
		!strings.Contains(text, "TOTAL%") {
		t.Errorf("show --from psi:\n%s", text)
	}
	if text := mustRun(t, "show", "--from", file, "--every", "1ms", "--csv", "cpu", "busy.service"); strings.Count(text,
		"\n") < len(shares) {
		t.Errorf("show --from --every:\n%s", text)
	}
	if text := mustRun(t, "replay", "--once", "--at", "-150ms", file); !strings.Contains(text, "busy.service") {
		t.Errorf("replay --once --at:\n%s", text)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"cpu nosuch", 3, "nosuch"}, {"tasks busy", 4, "cpu psi"}, {"--at 25:00", 1, "15:04"}, {"--pid 1", 1, "--pid"},
		{"--sort colour cpu", 1, "usage%"}, {"--mount /x", 1, "--mount"}, {"--at 2000-01-01T00:00", 1, "it is from"},
	} {
		code, out, stderr := call(t, exec.Command(command, append([]string{"show", "--from", file},
			strings.Fields(tt.args)...)...))
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 || out != "" {
			t.Errorf("show --from %s: exit %d, want %d: %s%s", tt.args, code, tt.code, out, stderr)
		}
	}
	if text := mustRun(t, "replay", "--once", file); !strings.Contains(text, "busy.service") {
		t.Errorf("replay --once:\n%s", text)
	}

	// A disk that becomes full is said once, and all snapshots before are there.
	tiny := t.TempDir()
	must(t, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", tiny)
	t.Cleanup(func() { unix.Unmount(tiny, unix.MNT_DETACH) })
	code, out, stderr = call(t, exec.Command(command, "record", "--mount", dir, "--every", "100ms", "--count", "40",
		filepath.Join(tiny, "x.rec"), "cpu", name))
	if said := strings.Count(stderr, "no space left"); code != 2 || said < 1 || said > 2 || out != "" {
		t.Errorf("a full disk: exit %d: %s%s", code, out, stderr)
	}
	if text := mustRun(t, "show", "--from", filepath.Join(tiny, "x.rec"), "cpu"); !strings.Contains(text, "USAGE%") {
		t.Errorf("of a full disk:\n%s", text)
	}

	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.WriteFile(foreign, []byte("not a recording, and dear to somebody"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", foreign}, "no recording that"},
		{[]string{"show", "--from", foreign}, "no recording that"},
		{[]string{"show", "--from", foreign + "x"}, "no such file"},
		{[]string{"replay", foreign + "x"}, "no such file"},
		{[]string{"record", "--mount", dir, foreign}, "no recording that"},
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
