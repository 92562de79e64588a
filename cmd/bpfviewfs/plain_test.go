package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"bpfviewfs/internal/plain"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// hostileName makes terminals do things: an escape sequence, a control character of two bytes, a byte that is
// no UTF-8, a bell, a tab, and a change of the direction of writing.
const hostileName = "h\x1b[31m\u009b2J\xff\a\t\u202eq"

// checkPlain fails the test if text can act on a terminal.
func checkPlain(t *testing.T, what string, text []byte) {
	t.Helper()
	for at, r := range string(text) {
		if !plain.Rune(r) && r != '\n' && r != '\t' || r == utf8.RuneError && text[at] != '\xef' {
			t.Errorf("%q has %q: %.200q", what, r, text[max(0, at-60):])
			return
		}
	}
}

// TestNothingActsOnTerminals reads all text files of a cgroup with a hostile name, in which a process with
// hostile names has hostile files, and of a mount with hostile views, and runs all commands that print.
func TestNothingActsOnTerminals(t *testing.T) {
	testenv.Needs(t, "python3")
	views := t.TempDir()
	object, err := os.ReadFile("../../bpf/cpu.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	for _, help := range []string{"CPU time as in cpu.stat, throttling", "CPU time in user mode"} {
		if !bytes.Contains(object, []byte(help)) {
			t.Fatalf("%q is no help of the view", help)
		}
		hostile := hostileName + "\n" + help
		object = bytes.ReplaceAll(object, []byte(help), []byte(hostile[:len(help)]))
	}
	for name, content := range map[string]string{
		"cpu.bpf.o":    string(object),
		"broken.bpf.o": hostileName, "set.bpf.o": string(object), "set.yaml": "\"a\\e\\u202e\": 1",
		hostileName + ".bpf.o": string(object),
	} {
		if err := os.WriteFile(filepath.Join(views, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options := []string{"registry=" + newRegistry(t), "max_run=64K", "views=" + views}
	dir := mountDir(t, "cgroup2", options...)

	top := newCgroup(t, dir)
	named := top.child(hostileName)
	large := named.child("large" + hostileName)
	for where, files := range map[*cgroup]int{named: 2, large: 800} {
		cmd := exec.Command("python3", "-c", `import os, socket, sys
name = os.fsencode(sys.argv[1])
os.chdir(sys.argv[2])
open("/proc/self/comm", "wb").write(name)
files = [open(name + b"%d" % i + b"_" * 200, "wb") for i in range(int(sys.argv[3]))]
s = socket.socket(socket.AF_UNIX)
s.bind(name)
s.listen()
print("ready", flush=True)
sys.stdin.read()`, hostileName, t.TempDir(), fmt.Sprint(files))
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: where.fd}
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		if _, err := out.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}

	seen := make(map[string]int)
	var failed []string
	look := func(path string) {
		base := filepath.Base(path)
		if strings.Contains(path, "/raw/") || strings.HasSuffix(base, ".raw") {
			return // not text
		}
		text, err := os.ReadFile(path)
		if err != nil {
			failed = append(failed, base)
			return
		}
		seen[base]++
		checkPlain(t, path, text)
	}
	walk := func(dir string) {
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				look(path)
			}
			return nil
		})
	}
	for _, at := range []string{named.mirror, large.mirror} {
		walk(at)
		walk(at + "/.bpfview")
	}
	for _, name := range []string{"views", "status.json", "errors", "metrics", "version"} {
		look(dir + "/.bpfview/" + name)
	}
	for _, name := range []string{
		"cpu", "cpu.json", "cpu.prom", "tasks", "tasks.json", "tasks.prom", "views", "errors",
		"status.json", "metrics",
	} {
		if seen[name] == 0 {
			t.Errorf("%s was not read; these failed: %q\n%s",
				name, failed, read(t, dir+"/.bpfview/views"))
		}
	}
	if text := read(t, dir+"/.bpfview/errors"); !strings.Contains(text, "large") {
		t.Errorf("no error is about the large cgroup:\n%s", text)
	}
	shown := read(t, named.mirror+"/.bpfview/tree/tasks") + read(t, named.mirror+"/files")
	if n := strings.Count(shown, `h\x1b[31m\xc2\x9b2J\xff`); n < 4 {
		t.Errorf("%d hostile names are shown:\n%s", n, shown)
	}

	for _, words := range [][]string{
		{"views"}, {"views", "--json"}, {"views", "--long"}, {"why", "cpu"}, {"why", "broken"},
		{"why", "set"},
		{"why", hostileName}, {"why", "cpu", named.path}, {"cat", "cpu", named.path + "/nosuch"},
		{"cat", "--tree", "tasks", named.path}, {"status", dir},
		{"status", "--json", dir}, {"doctor"},
		{"check", views + "/cpu.bpf.o"}, {"check", views + "/set.bpf.o"},
		{"check", views + "/" + hostileName + ".bpf.o"},
		{"mount", "/nosuch" + hostileName}, {"mount", "-o", hostileName, "/"}, {hostileName},
		{"reload", hostileName},
	} {
		args := words
		if words[0] == "views" || words[0] == "why" || words[0] == "cat" {
			args = append([]string{words[0], "-o", strings.Join(options, ",")}, words[1:]...)
		}
		out, _ := exec.Command(command, args...).CombinedOutput()
		checkPlain(t, strings.Join(words, " "), out)
		if len(out) == 0 {
			t.Errorf("%q prints nothing", words)
		}
	}
}

// TestLogsActOnNoTerminal: a log of a terminal, which logrus does not quote.
func TestLogsActOnNoTerminal(t *testing.T) {
	var out bytes.Buffer
	log, err := logOptions{format: "json", level: "debug"}.logger(false)
	if err != nil {
		t.Fatal(err)
	}
	log.SetOutput(&out)
	log.Warnf("name %s\nsecond", hostileName)
	checkPlain(t, "a log in JSON", out.Bytes())
	if !strings.Contains(out.String(), `name h\\x1b[31m`) {
		t.Errorf("%s", out.String())
	}
}
