package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// asNobody has a command run as a user without rights, from a copy of the program which that user can
// execute.
func asNobody(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "bpfviewfs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd.Path = filepath.Join(dir, "bpfviewfs")
	if out, err := exec.Command("cp", command, cmd.Path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// mountOpenly is mountDir at a directory that every user can reach.
func mountOpenly(t testing.TB, options ...string) string {
	t.Helper()
	dir := mountDir(t, "cgroup2", options...)
	for at := filepath.Dir(dir); at != "/" && at != "/tmp"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestWhyPath asks about paths in a mount and outside, as root and as another user.
func TestWhyPath(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "registry="+newRegistry(t), "enable=taskspb")
	c := newCgroup(t, dir)
	c.child("cpu")
	c.child("cpu/below")
	for _, tt := range []struct {
		path  string
		code  int
		state string
		want  string // part of the paragraph
	}{
		{dir, 0, "here", "the directory of the cgroup " + cgroup2(t)},
		{c.mirror, 0, "here", "the directory of the cgroup " + c.path},
		{c.mirror + "/cpu", 0, "here", "the view cpu of the cgroup " + c.path},
		{c.mirror + "/tasks", 0, "empty", "No process lives in this cgroup itself"},
		{c.mirror + "/.bpfview/tree/cpu.json", 0, "here", "the view cpu"},
		{c.mirror + "/.bpfview/views", 0, "here", "the list of views"},
		{c.mirror + "/runqlat", 4, "off", "-o enable=runqlat"},
		{c.mirror + "/nothing", 3, "no such cgroup", "no child cgroup and no view called nothing"},
		{c.mirror + "/nothing/cpu", 3, "no such cgroup", "called nothing"},
		{c.mirror + "/cpu/below", 4, "name taken", ".bpfview/cgroup/cpu"},
		{c.mirror + "/.bpfview/metrics", 4, "absent", "Only the root directory has it"},
		{c.mirror + "/.bpfview/prom/taskspb.prom", 4, "absent", "no such rendering"},
		{c.mirror + "/.bpfview/tree/cpu+tasks.json", 4, "absent", "View tasks has a row for each process"},
		{c.mirror + "/.bpfview/all/cpu+a b", 4, "absent", `No view is called "a b"`},
		{filepath.Dir(dir), 2, "not mounted", "It is mounted at"},
	} {
		code, out, stderr := call(t, exec.Command(command, "why", tt.path))
		if code != tt.code || !strings.Contains(out, tt.want) || code != 0 &&
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("why %s: exit %d, want %d: %s%s", tt.path, code, tt.code, out, stderr)
		}
		_, out, _ = call(t, exec.Command(command, "why", "--json", tt.path))
		var answer struct{ Path, State, What string }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.State != tt.state ||
			answer.Path != tt.path {
			t.Errorf("why --json %s: %v: %s", tt.path, err, out)
		}
	}
	code, out, _ := call(t, asNobody(t, exec.Command(command, "why", c.mirror+"/cpu")))
	if code != 5 ||
		!strings.Contains(out,
			"It has mode 0440 and belongs to user 0 and group 0, and this is user 65534") {
		t.Errorf("why as another user: exit %d: %s", code, out)
	}

	if code, _, stderr := call(t, asNobody(t, exec.Command(command, "reload", dir))); code != 1 ||
		!strings.HasSuffix(stderr, ": permission denied: run as root\n") {
		t.Errorf("reload as another user: exit %d: %s", code, stderr)
	}

	// A keeper that is stopped starts no next server.
	keeper, server := serverOf(t, dir), status(t, dir).Server
	unix.Kill(keeper, unix.SIGSTOP)
	unix.Kill(server, unix.SIGKILL)
	code, out, _ = call(t, exec.Command(command, "why", c.mirror+"/cpu"))
	unix.Kill(keeper, unix.SIGCONT)
	if code != 2 || !strings.Contains(out, "the server of the mount at "+dir+" is being restarted") {
		t.Errorf("why without a server: exit %d: %s", code, out)
	}
	read(t, c.mirror+"/cpu")

	unix.Kill(keeper, unix.SIGKILL)
	eventually(t, "the mount is dead", func() bool { _, err := os.Stat(dir); return err != nil })
	if code, out, _ := call(t, exec.Command(command, "why", c.mirror+"/cpu")); code != 2 ||
		!strings.Contains(out, "bpfviewfs umount "+dir) {
		t.Errorf("why in a dead mount: exit %d: %s", code, out)
	}
}

// TestJSON reads the output of commands with --json.
func TestJSON(t *testing.T) {
	testenv.NeedsRoot(t)
	for _, tt := range []struct {
		args string
		want map[string]any
	}{
		{"version", map[string]any{"version": "test"}},
		{"views", map[string]any{"view": "bpf", "state": "here", "kind": "record",
			"source": "built in"}},
		{"why cpu", map[string]any{"view": "cpu", "state": "here", "source": "built in"}},
		{"why runqlat", map[string]any{"view": "runqlat", "state": "off", "why": "view runqlat: off: enable it with -o enable=runqlat or \"enabled: true\" in runqlat.yaml"}},
		{"check ../../iter/testdata/says.bpf.o",
			map[string]any{"view": "says", "target": "cgroup", "kind": "text"}},
	} {
		_, out, stderr := call(t, exec.Command(command, append(strings.Fields(tt.args), "--json")...))
		var got map[string]any
		if err := json.NewDecoder(strings.NewReader(out)).Decode(&got); err != nil {
			t.Errorf("%s: %v: %s%s", tt.args, err, out, stderr)
		}
		for key, value := range tt.want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, want %v", tt.args, key, got[key], value)
			}
		}
	}
}
