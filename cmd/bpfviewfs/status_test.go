package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/report"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestStatus reads from a mount, and has status tell of it.
func TestStatus(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "registry="+newRegistry(t))
	for range 3 {
		read(t, dir+"/cpu")
	}
	fd, err := unix.Open(dir+"/tasks", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	code, out, stderr := call(t, exec.Command(command, "status", dir))
	for _, want := range []string{
		regexp.QuoteMeta(dir) + " shows cgroup2\n", `served +for \d+s, by process \d+`,
		`by keeper process ` + fmt.Sprint(serverOf(t, dir)), "after 0 restarts and 0 reloads",
		`read +4 runs, 0 failed`, `open +1 files`, `user root: 1 files, [0-9.]+K`,
		`(?m)^ *cpu +3 +0 `, `(?m)^ *tasks +1 +0 `,
	} {
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("exit %d, no %s in:\n%s%s", code, want, out, stderr)
		}
	}
	_, out, _ = call(t, exec.Command(command, "status", "--json", dir))
	var s report.Mount
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Target != dir || s.Server == nil ||
		s.Server.Files != 1 || len(s.Views) < 10 ||
		s.Views[0].View != "cpu" || s.Views[0].Runs != 3 || s.Views[0].Seconds <= 0 ||
		s.Server.Holders[0].Held < 4096/8 {
		t.Errorf("%v: %+v: %s", err, s, out)
	}
	code, out, stderr = call(t, asNobody(t, exec.Command(command, "status", dir)))
	if code != 0 || !strings.Contains(out, "only root sees its status.json") ||
		!strings.Contains(out, "cpu") {
		t.Errorf("as another user: exit %d: %s%s", code, out, stderr)
	}
	if code, _, stderr := call(t, exec.Command(command, "status", "/proc")); code != 2 ||
		!strings.Contains(stderr, "/proc") {
		t.Errorf("status /proc: exit %d: %s", code, stderr)
	}

	unix.Kill(serverOf(t, dir), unix.SIGKILL)
	eventually(t, "the mount is dead", func() bool { _, err := os.Stat(dir); return err != nil })
	for _, name := range []string{"status", "doctor"} {
		code, out, stderr := call(t, exec.Command(command, name))
		if code != 2 || !strings.Contains(out, "bpfviewfs umount "+dir) ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s of a dead mount: exit %d: %s%s", name, code, out, stderr)
		}
	}
}

// TestJournal has the command's stderr look like the journal's.
func TestJournal(t *testing.T) {
	testenv.NeedsRoot(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []struct{ value, want string }{
		{fmt.Sprintf("%d:%d", st.Dev, st.Ino), "<3>bpfviewfs: "}, {"1:1", "bpfviewfs: "},
		{"", "bpfviewfs: "},
	} {
		file.Truncate(0)
		file.Seek(0, 0)
		cmd := exec.Command(command, "nosuch")
		cmd.Stderr = file
		cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+stream.value)
		cmd.Run()
		if text := read(t, file.Name()); !strings.HasPrefix(text, stream.want) {
			t.Errorf("JOURNAL_STREAM=%s: %q", stream.value, text)
		}
	}
}
