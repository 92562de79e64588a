package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestStacksStayRoots holds that mount options do not let more users read a view that must stay root's.
func TestStacksStayRoots(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t)+",mode=0444,uid=1000,gid=1000")
	for name, want := range map[string]struct{ mode, uid uint32 }{
		"stacks": {0o400, 0}, ".bpfview/tree/stacks": {0o400, 0}, "tasks": {0o444, 1000},
		".bpfview/status.json": {0o440, 1000},
	} {
		var st unix.Stat_t
		if err := unix.Stat(dir+"/"+name, &st); err != nil || st.Mode&0o777 != want.mode ||
			st.Uid != want.uid || st.Gid != want.uid {
			t.Errorf("%s: mode %o, owner %d:%d (%v), want %o and %d",
				name, st.Mode&0o777, st.Uid, st.Gid, err, want.mode, want.uid)
		}
	}
}
