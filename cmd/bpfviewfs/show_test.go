package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/testenv"
)

// usageOf is the CPU time of a cgroup by cgroupfs.
func usageOf(t testing.TB, c *cgroup) time.Duration {
	t.Helper()
	for line := range strings.Lines(read(t, c.path+"/cpu.stat")) {
		if f := strings.Fields(line); f[0] == "usage_usec" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return time.Duration(n) * time.Microsecond
		}
	}
	t.Fatal("cpu.stat has no usage_usec")
	return 0
}

// TestShow compares rates with cgroupfs, through a mount as another user, and without a mount.
func TestShow(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "mode=0444", "registry="+newRegistry(t))
	top := newCgroup(t, dir)
	id := strings.Repeat(fmt.Sprintf("%08x%08x", os.Getpid(), uint32(time.Now().UnixNano())), 4)
	c := top.child("docker-" + id + ".scope")
	busy := c.run(exec.Command("sh", "-c", "while :; do :; done"))
	below := func(c *cgroup) string { return strings.TrimPrefix(c.path, cgroup2(t)+"/") }

	for name, cmd := range map[string]*exec.Cmd{
		"the path": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json",
			"cpu", below(c))),
		"the full path": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json",
			"cpu", c.path)),
		"the unit": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json",
			"cpu", filepath.Base(c.path))),
		"the container": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json",
			"cpu", id[:12])),
		"the whole id": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json", "cpu", id)),
		"self": exec.Command("sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, c.path, command, "show",
			"--mount", dir, "--json", "cpu", "self"),
		"the process": asNobody(t, exec.Command(command, "show", "--mount", dir, "--json",
			"cpu", "--pid", strconv.Itoa(busy.Process.Pid))),
		"without the mount": exec.Command(command, "show", "-o", "registry=none", "--json",
			"cpu", below(c)),
	} {
		cmd.Args = append(cmd.Args, "--interval", "300ms")
		used, began := usageOf(t, c), time.Now()
		code, out, stderr := call(t, cmd)
		used, took := usageOf(t, c)-used, time.Since(began)
		var got struct {
			Usage, User, System float64
			Percent             float64 `json:"usage_percent"`
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Errorf("by %s: exit %d, %v: %s%s", name, code, err, out, stderr)
			continue
		}
		// It used the CPU for no longer than all along, and a busy loop has not stood still.
		if most := 100 * used.Seconds() / 0.3; got.Percent <= 0 || got.Percent > most+5 {
			t.Errorf("by %s: %.1f%%, but at most %v of CPU time in %v",
				name, got.Percent, used, took)
		}
	}

	code, out, stderr := call(t, exec.Command(command, "show", "--mount", dir, "tasks", "--columns",
		"pid,user,comm", below(c)))
	if lines := strings.Split(out, "\n"); code != 0 || len(lines) != 3 ||
		strings.Join(strings.Fields(lines[0]), " ") != "PID USER% COMM" ||
		!strings.HasPrefix(strings.TrimSpace(lines[1]), strconv.Itoa(busy.Process.Pid)) {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
	code, out, stderr = call(t, exec.Command(command, "show", "--mount", dir, "--tree", "--sort", "usage",
		"--top", "1", "--columns", "path", "cpu", below(top)))
	if want := "PATH\n" + filepath.Base(c.path) + "\n"; code != 0 || out != want && out != "PATH\n.\n" {
		t.Errorf("exit %d: %q, want %q: %s", code, out, want, stderr)
	}
	// cat of the same is the file.
	code, out, stderr = call(t,
		asNobody(t, exec.Command(command, "cat", "--mount", dir, "--tree", "--format", "json", "cpu",
			below(top))))
	if code != 0 || strings.Count(out, "\n") != 2 ||
		!strings.Contains(out, `"cgroup":"`+filepath.Base(c.path)) {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}

	// A stateful view counts for the interval, and says so.
	for _, args := range []string{"show runqlat ", "cat runqlat "} {
		code, out, stderr = call(t, exec.Command(command,
			append(strings.Fields(args+below(c)), "-o", "registry=none", "--interval",
				"100ms")...))
		if code != 0 || strings.Contains(stderr, "runqlat is not running") != true ||
			strings.Count(out, "\n") != 2 {
			t.Errorf("%s: exit %d: %s%s", args, code, out, stderr)
		}
	}

	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"cpu nosuch", 3, "no cgroup, unit or container"},
		{"cpu no/such", 3, "no/such"},
		{"cpu ../..", 3, "no cgroup"},
		{"cpu --pid 4194304", 3, "no process"},
		{"cpu --pid 1 self", 1, "two cgroups"},
		{"cpu --sort nothing /", 1, "usage%"},
		{"cpu --interval -1s /", 1, "negative"},
		{"runqlat /", 4, "bpfviewfs why"},
		{"cgroup --json /", 4, "no records"},
		{"--mount /proc cpu /", 2, "mounted"},
		{"-o registry=none nosuch2 cpu", 1, "nosuch2"},
	} {
		args := append([]string{"show", "--mount", dir}, strings.Fields(tt.args)...)
		if strings.HasPrefix(tt.args, "-") {
			args = append([]string{"show"}, strings.Fields(tt.args)...)
		}
		code, out, stderr := call(t, exec.Command(command, args...))
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("show %s: exit %d, want %d: %s%s", tt.args, code, tt.code, out, stderr)
		}
	}

	// A cgroup that is removed while it is shown is one line.
	gone := top.child("gone")
	cmd := exec.Command(command, "show", "--mount", dir, "--every", "50ms", "--csv", "cpu", below(gone))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if _, err := stdout.Read(buf); err != nil {
		t.Error(err)
	}
	gone.remove()
	for {
		if _, err := stdout.Read(buf); err != nil {
			break
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 3 ||
		strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("of a removed cgroup: %v: %s", err, errs.String())
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd = exec.Command(command, "show", "--mount", dir, "psi", "cpu", "/")
	cmd.Stdout = full
	if _, ok := cmd.Run().(*exec.ExitError); !ok || cmd.ProcessState.ExitCode() <= 0 {
		t.Error("a full disk is no error")
	}
}
