package cgroups

import (
	"errors"
	"path/filepath"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"golang.org/x/sys/unix"
)

func TestFindMembership(t *testing.T) {
	const text = "5:name=systemd:/s\n4:memory:/m/a:b\n2:cpu,cpuacct:/c\n0::/two\n"
	for name, tt := range map[string]struct {
		options []string
		want    string
		ok      bool
	}{
		"cgroup2":         {nil, "/two", true},
		"a controller":    {[]string{"rw", "memory"}, "/m/a:b", true},
		"two controllers": {[]string{"rw", "cpu", "cpuacct"}, "/c", true},
		"a named one":     {[]string{"rw", "xattr", "name=systemd"}, "/s", true},
		"none":            {[]string{"rw", "pids"}, "", false},
	} {
		if _, got, ok := findMembership([]byte(text), tt.options); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q %t, want %q", name, got, ok, tt.want)
		}
	}
}

func TestOf(t *testing.T) {
	testenv.NeedsRoot(t)
	all := open(t, "")
	dir := ktest.Cgroup(t, all.String(), "of")
	inner := ktest.Cgroup(t, dir, "inner one")
	sibling := ktest.Cgroup(t, all.String(), "of2")
	pid := uint32(ktest.Helper{Cgroup: inner, Threads: 1}.Start(t))
	part := open(t, dir)
	elsewhere := open(t, sibling)
	for name, tt := range map[string]struct {
		h    *Hierarchy
		want uint64
	}{
		"from the root":   {all, ktest.CgroupID(t, inner)},
		"from its parent": {part, ktest.CgroupID(t, inner)},
		"from a sibling":  {elsewhere, 0},
	} {
		got, err := tt.h.Of(pid)
		if got != tt.want || (err == nil) != (tt.want != 0) || err != nil &&
			!errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %d (%v), want %d", name, got, err, tt.want)
		}
	}
	if _, err := all.Of(1<<31 - 1); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nobody: %v", err)
	}
	if got, err := open(t, inner).Of(pid); got != ktest.CgroupID(t, inner) || err != nil {
		t.Errorf("in %s itself: %d (%v)", filepath.Base(inner), got, err)
	}
}
