package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestGuide types the commands of docs/writing-views.md, with other directories in place of the machine's.
func TestGuide(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "clang-19", "/usr/include/bpf/bpf_helpers.h", "bpftool")
	page := read(t, "../../docs/writing-views.md")
	steps, pinning := typedIn(t, page, "Four steps"),
		typedIn(t, page, "Without a compiler on the machine")

	views, bin, pins := t.TempDir(), t.TempDir(), newRegistry(t)
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+pins)
	c := newCgroup(t, dir)
	c.sleep(3)
	must(t, "ln", "-s", command, filepath.Join(bin, "bpfviewfs"))
	clang := strings.TrimSpace(must(t, "sh", "-c", "command -v clang-19"))
	must(t, "ln", "-s", clang, filepath.Join(bin, "clang"))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("MAKEFLAGS", "VIEWS="+views) // as on make's command line
	t.Chdir(t.TempDir())
	here := strings.NewReplacer("/run/bpfview/system.slice/ssh.service", c.mirror, "/run/bpfview", dir,
		"/sys/fs/bpf/bpfview", pins)
	wait := func() {
		t.Helper()
		eventually(t, "the view is there", func() bool { return exists(c.mirror + "/blocked") })
	}
	for _, typed := range steps {
		if strings.HasPrefix(typed, "cat ") {
			wait() // the reader of the guide is slower
		}
		out := must(t, "sh", "-c", here.Replace(typed))
		for about, want := range map[string]string{
			" new ":     "blocked/ is written",
			" check":    "iterates  cgroup\n",
			"/blocked ": "THREADS",
			".json":     `{"threads":`,
			".prom":     "bpfview_blocked_threads{cgroup=",
		} {
			if strings.Contains(typed+" ", about) && !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", typed, want, out)
			}
		}
	}

	// Step 4 is a change, then one that does not load, and the end.
	source := "blocked/blocked.bpf.c"
	must(t, "sed", "-i", "s/how many threads there are/changed as the guide says/", source)
	must(t, "make", "-C", "blocked", "install")
	eventually(t, "the change", func() bool {
		return strings.Contains(rowOf(t, dir, "blocked"), "changed as the guide says")
	})
	if err := os.WriteFile(filepath.Join(views, "blocked.bpf.o"),
		[]byte("no object"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the complaint", func() bool {
		return strings.Contains(rowOf(t, dir, "blocked"), "goes on as it was")
	})
	read(t, c.mirror+"/blocked")
	must(t, "make", "-C", "blocked", "uninstall")
	eventually(t, "the file is gone", func() bool { return !exists(c.mirror + "/blocked") })

	t.Chdir("blocked")
	for _, typed := range pinning {
		if strings.HasPrefix(typed, "cat ") {
			wait()
		}
		must(t, "sh", "-c", here.Replace(typed))
	}
	eventually(t, "the file is gone", func() bool { return !exists(c.mirror + "/blocked") })
}

// TestGuideProgram builds and checks the whole program that docs/writing-views.md shows.
func TestGuideProgram(t *testing.T) {
	testenv.NeedsRoot(t)
	_, page, _ := strings.Cut(read(t, "../../docs/writing-views.md"), "\n```c\n")
	source, _, _ := strings.Cut(page, "\n```\n")
	out := must(t, command, "check", build(t, "level", source))
	for _, want := range []string{"writes    record\n", "\nLEVEL\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// typedIn are the commands of a section, each behind a prompt.
func typedIn(t *testing.T, page, section string) (commands []string) {
	t.Helper()
	_, page, _ = strings.Cut(page, "\n## "+section+"\n")
	page, _, _ = strings.Cut(page, "\n## ")
	for line := range strings.Lines(page) {
		for _, prompt := range []string{"    $ ", "    # "} {
			if typed, ok := strings.CutPrefix(line, prompt); ok {
				commands = append(commands, strings.TrimSpace(typed))
			}
		}
	}
	if len(commands) < 3 {
		t.Fatalf("the guide's %q has only %q", section, commands)
	}
	return commands
}
