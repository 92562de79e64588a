package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestViewsDirectory does everything to a views directory that its owner may do, right and wrong. The mount
// follows.
func TestViewsDirectory(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	a := newCgroup(t, dir)
	b := a.child("b")
	says, err := os.ReadFile("../../iter/testdata/says.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	object, settings := filepath.Join(views, "says.bpf.o"), filepath.Join(views, "says.yaml")
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := func(format string, args ...any) {
		t.Helper()
		write(settings, fmt.Appendf(nil, format, args...))
	}
	text := func(c *cgroup) string {
		b, _ := os.ReadFile(c.mirror + "/says")
		return string(b)
	}
	row := func(c *cgroup, words ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%q in views", words), func() bool {
			row := rowOf(t, c.mirror, "says")
			for _, w := range words {
				if !strings.Contains(row, w) {
					return false
				}
			}
			return true
		})
	}

	write(object, says)
	eventually(t, "it appears", func() bool {
		return text(a) == "nothing 1\n" && text(b) == "nothing 1\n"
	})

	const good = `description: what the owner wants it to say
mode: "0444"
owner: 1234
group: 5678
parameters: {words: %s, number: 42}
match: ["/%s/b"]
`
	set(good, "hello", filepath.Base(a.path))
	eventually(t, "its settings are taken", func() bool { return text(b) == "hello 42\n" })
	eventually(t, "mode and owner", func() bool {
		var st unix.Stat_t
		err := unix.Stat(b.mirror+"/says", &st)
		return err == nil && st.Mode == unix.S_IFREG|0o444 && st.Uid == 1234 && st.Gid == 5678
	})
	row(b, "here ", "what the owner wants it to say")
	row(a, "elsewhere ", "match")
	eventually(t, "it is where it matches alone", func() bool { return !exists(a.mirror + "/says") })
	if got := strings.Fields(read(t, a.mirror+"/.bpfview/tree/says")); !slices.Equal(got,
		[]string{"CGROUP_ID", "PATH", "hello", "42", fmt.Sprint(inode(t, b.path)), "b"}) {
		t.Errorf("the tree above: %q", got)
	}

	write(object, says[:len(says)/2])
	row(b, "here ", "goes on as it was", "cut short")
	write(object, says)
	for content, why := range map[string]string{
		"colour: red\n":             "colour",
		"mode: 0x\n":                "mode",
		"match: [\"[\"]\n":          "glob",
		"parameters: {words: 1}\n":  "words",
		"parameters: {speech: 1}\n": "speech",
	} {
		set("%s", content)
		row(b, "here ", "goes on as it was", why)
		if got := text(b); got != "hello 42\n" {
			t.Errorf("%s: it says %q", content, got)
		}
	}

	set("enabled: false\n")
	row(b, "off ", "enabled: false")
	eventually(t, "it is off", func() bool { return !exists(b.mirror + "/says") })
	set(good, "again", filepath.Base(a.path))
	eventually(t, "it is back", func() bool { return text(b) == "again 42\n" })

	if err := os.Remove(settings); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is as the object says", func() bool { return text(a) == "nothing 1\n" })
	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool {
		return !exists(a.mirror+"/says") && rowOf(t, dir, "says") == ""
	})

	write(object, says)
	if err := os.Chmod(object, 0o666); err != nil {
		t.Fatal(err)
	}
	row(a, "absent ", "written by others")
	if exists(a.mirror + "/says") {
		t.Error("it is there though anybody could have written it")
	}
	if err := os.Chmod(object, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is there once its mode is right", func() bool { return text(a) == "nothing 1\n" })
}

// TestRefusedObjects drops files that cannot be views. Each is listed with the reason, and affects nothing
// else.
func TestRefusedObjects(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	dir := mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))
	says, err := os.ReadFile("../../iter/testdata/says.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	big := slices.Clone(says)
	big[5] = 2 // EI_DATA is big-endian
	for name, content := range map[string][]byte{
		"cut": says[:len(says)/2], "empty": nil, "big": big, "Bad-Name": says, "a\nb": says,
		"script": []byte("#!/bin/sh\n"),
	} {
		if err := os.WriteFile(filepath.Join(views, name+".bpf.o"), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(views, "nothing.yaml"), []byte("enabled: true\n"), 0o644),
		os.WriteFile(filepath.Join(views, "huge.bpf.o"), nil, 0o644),
		os.Truncate(filepath.Join(views, "huge.bpf.o"), 100<<20),
		unix.Mkfifo(filepath.Join(views, "fifo.bpf.o"), 0o644),
		os.Mkdir(filepath.Join(views, "folder.bpf.o"), 0o755),
		os.Symlink("/nonexistent", filepath.Join(views, "dangling.bpf.o")),
	); err != nil {
		t.Fatal(err)
	}
	for name, why := range map[string]string{
		"cut": "cut short", "empty": "", "big": "", "script": "", "nothing": "",
		`"Bad-Name"`: "[a-z]", `"a\nb"`: "[a-z]",
		"huge": "104857600", "fifo": "regular", "folder": "directory", "dangling": "no such file",
	} {
		eventually(t, name+" is refused", func() bool {
			row := rowOf(t, dir, name)
			return strings.HasPrefix(row, "absent ") && strings.Contains(row, why)
		})
	}
	if err := os.WriteFile(filepath.Join(views, "says.bpf.o"), says, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a good one among them", func() bool { return exists(dir + "/says") })
	read(t, dir+"/cpu")
	read(t, mountDir(t, "cgroup2", "views="+views, "registry="+newRegistry(t))+"/says")
}
