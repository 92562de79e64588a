package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/testenv"
)

func TestCheck(t *testing.T) {
	testenv.NeedsRoot(t)
	dir := t.TempDir()
	object := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cpu, err := bpf.Objects.ReadFile("cpu.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		code int
		want []string
	}{
		{object("cpu.bpf.o", cpu), 0, []string{"view      cpu\n", "iterates  cgroup\n", "writes    record\n", "processed ", "of at most 32767\n", `"hash": "`, "USAGE_USEC"}},
		{object("short.bpf.o", cpu[:3000]), 2, []string{"view short: the object is cut short"}},
		{object("text.bpf.o", []byte("#!/bin/sh\n")), 2, []string{"view text: "}},
		{object("cpu.o", cpu), 2, []string{"NAME.bpf.o"}},
		{filepath.Join(dir, "none.bpf.o"), 2, []string{"no such file"}},
	} {
		code, out, stderr := call(t, exec.Command(command, "check", tt.path))
		for _, want := range tt.want {
			if !strings.Contains(out+stderr, want) {
				t.Errorf("%s: no %q in\n%s%s", tt.path, want, out, stderr)
			}
		}
		if code != tt.code || code != 0 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, want %d: %q", tt.path, code, tt.code, stderr)
		}
	}
	unit := newCgroup(t, "").child(".odd.service") // cgroups are named as in other commands
	for _, word := range []string{unit.path, filepath.Base(unit.path),
		strings.TrimPrefix(unit.path, cgroup2(t)), "self"} {
		for _, args := range [][]string{
			{"check", object("cpu.bpf.o", cpu), word}, {"why", "cpu", word},
			{"cat", "-o", "registry=none", "cpu", word},
		} {
			if code, out, stderr := call(t, exec.Command(command, args...)); code != 0 {
				t.Errorf("%q: exit %d: %s%s", args, code, out, stderr)
			}
		}
	}
	object("cpu.yaml", []byte("mode: 0x\n"))
	if code, _, stderr := call(t, exec.Command(command, "check", filepath.Join(dir, "cpu.bpf.o"))); code != 2 || !strings.Contains(stderr, "cpu.yaml") {
		t.Errorf("bad settings: exit %d: %s", code, stderr)
	}
}

func TestWhy(t *testing.T) {
	testenv.NeedsRoot(t)
	views := t.TempDir()
	if err := os.WriteFile(filepath.Join(views, "broken.bpf.o"), []byte("no ELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"cpu", 0, "view cpu, built in\nit is there\n"},
		{"runqlat", 4, "enable=runqlat"},
		{"-o enable=runqlat,registry=none runqlat", 0, "view runqlat, built in\nit is there\n"},
		{"broken", 1, "no view is called"},
		{"-o views=" + views + " broken", 4, views + "/broken.bpf.o"},
		{"-o nonsense cpu", 1, "nonsense"},
	} {
		code, out, stderr := call(t, exec.Command(command, append([]string{"why"}, strings.Fields(tt.args)...)...))
		if code != tt.code || !strings.Contains(out+stderr, tt.want) {
			t.Errorf("%s: exit %d, want %d: %s%s", tt.args, code, tt.code, out, stderr)
		}
	}
}
