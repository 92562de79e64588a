package iter

import (
	"errors"
	"path/filepath"
	"testing"

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
		if got, ok := findMembership([]byte(text), tt.options); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %q %t, want %q", name, got, ok, tt.want)
		}
	}
}

func TestOf(t *testing.T) {
	needRoot(t)
	all := testHierarchy(t, "")
	dir := testCgroup(t, all.String(), "of")
	inner := testCgroup(t, dir, "inner one")
	sibling := testCgroup(t, all.String(), "of2")
	pid := uint32(helper{cgroup: inner, threads: 1}.start(t))
	part := testHierarchy(t, dir)
	elsewhere := testHierarchy(t, sibling)
	for name, tt := range map[string]struct {
		h    *Hierarchy
		want uint64
	}{
		"from the root":   {all, cgroupID(t, inner)},
		"from its parent": {part, cgroupID(t, inner)},
		"from a sibling":  {elsewhere, 0},
	} {
		got, err := tt.h.Of(pid)
		if got != tt.want || (err == nil) != (tt.want != 0) || err != nil && !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %d (%v), want %d", name, got, err, tt.want)
		}
	}
	if _, err := all.Of(nobody); !errors.Is(err, unix.ENOENT) {
		t.Errorf("nobody: %v", err)
	}
	if got, err := testHierarchy(t, inner).Of(pid); got != cgroupID(t, inner) || err != nil {
		t.Errorf("in %s itself: %d (%v)", filepath.Base(inner), got, err)
	}
}
