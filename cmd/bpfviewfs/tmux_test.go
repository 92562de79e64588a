package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// screen is a terminal of tmux, in which a program runs.
type screen struct {
	t      testing.TB
	socket string
}

// newScreen starts a program in a terminal of some columns and rows. The environment is env alone.
func newScreen(t testing.TB, columns, rows int, env []string, program ...string) *screen {
	t.Helper()
	testenv.Needs(t, "tmux")
	s := &screen{t, filepath.Join(t.TempDir(), "tmux")}
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y",
		fmt.Sprint(rows)}
	base := []string{"PATH=" + filepath.Dir(command) + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"LC_ALL=C.UTF-8"}
	args = append(append(append(args, "env", "-i", "TERM=tmux-256color"), append(base, env...)...),
		program...)
	t.Cleanup(func() { exec.Command("tmux", "-S", s.socket, "kill-server").Run() })
	s.tmux(args...)
	s.tmux("set-option", "-g", "status", "off")
	s.tmux("set-option", "-g", "remain-on-exit", "on")
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// send presses keys, as send-keys of tmux names them.
func (s *screen) send(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"send-keys"}, keys...)...)
}

// text is the text on the screen, without the blanks at the ends of lines.
func (s *screen) text() string {
	s.t.Helper()
	var lines []string
	for line := range strings.Lines(s.tmux("capture-pane", "-p")) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// await waits until all of the words are on the screen, and gives its text.
func (s *screen) await(words ...string) (text string) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the screen:\n%s", text)
		}
	}()
	eventually(s.t, "on the screen: "+strings.Join(words, ", "), func() bool {
		text = s.text()
		for _, word := range words {
			if !strings.Contains(text, word) {
				return false
			}
		}
		return true
	})
	return text
}
