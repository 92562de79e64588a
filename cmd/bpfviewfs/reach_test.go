package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// dropIn writes files of a views directory. They are objects of iter/testdata, by their names, and settings,
// by the names of their views.
func dropIn(t *testing.T, views string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		raw := []byte(content)
		if object, ok := strings.CutPrefix(content, "testdata:"); ok {
			var err error
			if raw, err = os.ReadFile("../../iter/testdata/" + object + ".bpf.o"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(views, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The server may read addresses of the kernel, as the command may, so both show them, or neither. Programs
// that name symbols load.
func TestSymbolsThroughTheMount(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dropIn(t, views, map[string]string{
		"addresses.bpf.o": "testdata:addresses",
		"entries.bpf.o":   "testdata:entries",
		"entries.yaml":    "parameters: {which: 2}",
	})
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t), "mode=0444", "gid=1")
	text := func(symbols string) string {
		for line := range strings.Lines(symbols) {
			if strings.HasSuffix(line, " _stext\n") {
				return line
			}
		}
		return ""
	}
	mounted := text(read(t, dir+"/addresses"))
	_, out, stderr := call(t, exec.Command(command, "cat", "-o", "views="+views, "addresses", "/"))
	if mounted == "" || mounted != text(out) {
		t.Errorf("the mount has %q, the command %q%s", mounted, text(out), stderr)
	}
	row := rowOf(t, dir, "addresses")
	if shown := !strings.HasPrefix(mounted, "0 "); shown != strings.Contains(row,
		"it shows addresses of the kernel") {
		t.Errorf("%q, and views says %s", mounted, row)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/addresses", &st); err != nil || st.Mode&0o777 != 0o400 || st.Uid != 0 ||
		st.Gid != 0 {
		t.Errorf("addresses: mode %o, owner %d:%d, %v", st.Mode&0o777, st.Uid, st.Gid, err)
	}
	if row := rowOf(t, dir, "entries"); !strings.HasPrefix(row, "here ") {
		t.Errorf("a program that names a symbol: %s", row)
	}
}

// An object with several iterators is checked, and mounted, view by view.
func TestSeveralViewsThroughTheMount(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	dropIn(t, views, map[string]string{"several.bpf.o": "testdata:several"})
	c := newCgroup(t, dir)
	pid := c.sleep(1).Process.Pid
	want := fmt.Sprintf("pid %d\n", pid)
	eventually(t, "the view appears", func() bool {
		text, err := os.ReadFile(c.mirror + "/several_pids")
		return err == nil && string(text) == want
	})
	if row := rowOf(t, dir, "several"); !strings.HasSuffix(row, "several_counts, several_pids") {
		t.Errorf("views: %s", row)
	}
	for _, word := range []string{"several_setup", "several_sockets"} {
		if row := rowOf(t, dir, "several_pids"); !strings.Contains(row, word) {
			t.Errorf("views does not say that %s is left out: %s", word, row)
		}
	}
	code, out, stderr := call(t, exec.Command(command, "check", filepath.Join(views, "several.bpf.o")))
	if code == 0 || !strings.Contains(stderr, "/sys/fs/bpf/bpfview_test_map") {
		t.Errorf("check: exit %d: %s%s", code, out, stderr)
	}
}

// The command check names the faults of programs that were written for other tools.
func TestCheckOfForeignPrograms(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.sleep(1)
	for name, words := range map[string][]string{
		"tables":  {"variable pointers holds addresses"},
		"silent":  {"its file is always empty"},
		"entries": {"it writes no text", "record: STRUCT", "file_entry"},
	} {
		dropIn(t, views, map[string]string{name + ".bpf.o": "testdata:" + name})
		if name == "entries" {
			dropIn(t, views, map[string]string{"entries.yaml": "parameters: {which: 2}"})
		}
		_, out, stderr := call(t, exec.Command(command, "check",
			filepath.Join(views, name+".bpf.o"), c.path))
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("check %s does not say %q: %s%s", name, word, out, stderr)
			}
		}
		if strings.Contains(out, "variable arrays") {
			t.Errorf("check complains of a table that works: %s", out)
		}
	}
	eventually(t, "the tables are shown", func() bool {
		text, err := os.ReadFile(c.mirror + "/tables")
		return err == nil && (string(text) == " even\n" || string(text) == " odd\n")
	})
	if row := rowOf(t, dir, "tables"); !strings.Contains(row, "variable pointers") {
		t.Errorf("views: %s", row)
	}
}
