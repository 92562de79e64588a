package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestTop drives the screen in a terminal.
func TestTop(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	busy := c.child("busy.service")
	busy.run(exec.Command("sh", "-c", "while :; do :; done"))
	c.child("idle.service").sleep(2)
	name := filepath.Base(c.path)
	s := newScreen(t, 100, 24, nil, "sh")
	pidFile := filepath.Join(t.TempDir(), "pid")
	start := func(environment string) (pid int) {
		os.Remove(pidFile)
		s.send("-l", fmt.Sprintf("clear; (exec sh -c 'echo $$ >%s; exec env %s bpfviewfs top --mount %s --interval 200ms %s'); echo LEFT $? $(stty -a | tr ' ;' '\\n\\n' | grep -x -e '-*icanon' -e '-*echo')",
			pidFile, environment, dir, name))
		s.send("Enter")
		s.await("▼CPU%", "busy.service", "idle.service", "q quit")
		pid, err := strconv.Atoi(strings.TrimSpace(read(t, pidFile)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	left := func(how string) {
		t.Helper()
		text := s.await("LEFT 0 icanon echo")
		if on := s.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}"); on != "0 1\n" ||
			strings.Contains(text, "▼CPU%") {
			t.Errorf("after %s, alternate screen and cursor %q:\n%s", how, on, text)
		}
	}
	start("")
	s.send("/")
	s.send("-l", "busy")
	s.send("Enter")
	eventually(t, "the filter", func() bool { return !strings.Contains(s.text(), "idle.service") })
	s.send("Down", "Enter")
	s.await("[processes]", "USER%", "COMM", "sh")
	s.send("Tab")
	s.await("[tasks]", "TID")
	s.send("Escape")
	s.await("▼CPU%")
	s.tmux("resize-window", "-x", "20", "-y", "5")
	eventually(t, "a small screen", func() bool {
		return strings.Count(s.text(), "\n") == 4 && strings.Contains(s.text(), "CGROUP")
	})
	s.tmux("resize-window", "-x", "100", "-y", "24")
	s.await("q quit")
	s.send("q")
	left("q")
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		unix.Kill(start(""), signal)
		left(signal.String())
	}
	// With colours, a chosen or high value has other marks, too.
	start("NO_COLOR=yes")
	if text := s.tmux("capture-pane", "-p", "-e"); regexp.MustCompile(
		"\x1b\\[[0-9;]*3[0-7]m").MatchString(text) {
		t.Errorf("colours in spite of NO_COLOR: %q", text)
	}

	// Windows of any size while it draws, and a server that is replaced, change nothing.
	for i := range 30 {
		s.tmux("resize-window", "-x", strconv.Itoa(1+i*53%150), "-y", strconv.Itoa(1+i*29%50))
	}
	s.tmux("resize-window", "-x", "100", "-y", "24")
	s.await("▼CPU%", "busy.service", "idle.service", "q quit")
	if out, err := exec.Command(command, "reload", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	clock := regexp.MustCompile(`\d\d:\d\d:\d\d`)
	last := clock.FindString(s.text())
	eventually(t, "it goes on after reload", func() bool {
		text := s.text()
		return clock.FindString(text) != last && strings.Contains(text, "q quit")
	})

	// The mount is taken away, or dies, and comes back. The screen says so and goes on.
	if out, err := exec.Command(command, "umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.await("is mounted there", "busy.service")
	if out, err := exec.Command(command, "mount", dir, "-o",
		"registry=none").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.await("busy.service", "q quit")
	unix.Kill(serverOf(t, dir), unix.SIGKILL)
	s.await("the mount is dead", "busy.service")
	if out, err := exec.Command(command, "umount", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(command, "mount", dir, "-o",
		"registry=none").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, "it goes on", func() bool { return strings.Contains(s.text(), "q quit") })
	s.send("q")
	left("the end of the mount")

	for _, tt := range []struct{ environment, want string }{{"TERM=dumb", "--once"},
		{"TERM=", "--once"}} {
		s.send("-l", "clear; "+tt.environment+" bpfviewfs top --mount "+dir+"; echo LEFT $?")
		s.send("Enter")
		if text := s.await("LEFT 1"); !strings.Contains(text, tt.want) {
			t.Errorf("%s: %s", tt.environment, text)
		}
	}
}

// TestTopOnce compares a printed screen with cgroupfs.
func TestTopOnce(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := mountOpenly(t, "mode=0444", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	busy := c.child("busy.service")
	busy.run(exec.Command("sh", "-c", "while :; do :; done"))
	c.child("idle\x1b[2J.service").sleep(2)
	used := usageOf(t, busy)
	code, out, stderr := call(t,
		asNobody(t, exec.Command(command, "top", "--mount", dir, "--once", "--interval", "300ms",
			filepath.Base(c.path))))
	used = usageOf(t, busy) - used
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 5 || strings.ContainsRune(out, '\x1b') {
		t.Fatalf("exit %d: %s%s", code, out, stderr)
	}
	fields := strings.Fields(lines[3]) // the greatest first
	percent, err := strconv.ParseFloat(fields[0], 64)
	if most := 100 * used.Seconds() / 0.3; err != nil || fields[len(fields)-1] != "busy.service" ||
		percent <= 0 || percent > most+5 {
		t.Errorf("%.1f%%, at most %v of CPU time: %v: %s", percent, used, err, out)
	}
	tasks := -1
	for i, head := range strings.Fields(strings.ReplaceAll(lines[1], "▼", "")) {
		if head == "TASKS" {
			tasks = i
		}
	}
	want := strings.Count(read(t, busy.path+"/cgroup.threads"), "\n")
	if tasks < 0 || fields[tasks] != strconv.Itoa(want) {
		t.Errorf("TASKS in column %d is not %d: %s", tasks, want, out)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"top --mount " + dir, 1, "--once"},
		{"top --mount " + dir + " nosuch --once", 3, "nosuch"},
		{"top --sort colour", 1, "cpu%"},
		{"top --once --interval 1ms", 1, "100ms"},
	} {
		code, _, stderr := call(t, exec.Command(command, strings.Fields(tt.args)...))
		if code != tt.code || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, want %d: %s", tt.args, code, tt.code, stderr)
		}
	}
}
