package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// as runs a command as a user.
func as(uid uint32, words ...string) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd
}

// TestDelegation has the cgroups of a user's systemd and of rootless podman. systemd gives some to user 1000,
// and that user makes others in there. Nothing is configured for it.
func TestDelegation(t *testing.T) {
	dir := mountDir(t, "cgroup2")
	os.Chmod(filepath.Dir(dir), 0o755) // t.TempDir makes them 0700
	os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)
	slice := newCgroup(t, dir).child("user.slice").child("user-1000.slice")
	manager := slice.child("user@1000.service")
	slice.child("session-1.scope")
	t.Cleanup(manager.removeChildren)
	if err := os.Chown(manager.path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	container := "/user.slice/libpod-0123.scope/container"
	if out, err := as(1000, "mkdir", "-p", manager.path+"/app.slice/x.service",
		manager.path+container).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct {
		path   string
		reader uint32
		may    bool
	}{
		{manager.mirror, 1000, true},
		{manager.mirror + "/app.slice/x.service", 1000, true},
		{manager.mirror + container, 1000, true},
		{manager.mirror, 1001, false},
		{manager.mirror + container, 1001, false},
		{slice.mirror, 1000, false},
		{slice.mirror + "/session-1.scope", 1000, false},
		{dir, 1000, false},
	} {
		eventually(t, "rights as in cgroupfs: "+tt.path, func() bool {
			return (as(tt.reader, "cat", tt.path+"/tasks").Run() == nil) == tt.may
		})
		if out, err := as(tt.reader, "ls", tt.path).CombinedOutput(); err != nil {
			t.Errorf("user %d cannot list, as in cgroupfs: %v: %s", tt.reader, err, out)
		}
	}

	// The present owner reads it, also a container's root with an id of the user's range. The old owner
	// does not.
	if err := os.Chown(manager.path+container, 100000, 100000); err != nil {
		t.Fatal(err)
	}
	mirror := manager.mirror + container
	eventually(t, "the new owner reads", func() bool {
		return as(100000, "cat", mirror+"/tasks").Run() == nil
	})
	eventually(t, "the old owner does not", func() bool {
		return as(1000, "cat", mirror+"/tasks").Run() != nil
	})
	if err := os.Chmod(manager.path, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a directory closed in cgroupfs is closed here", func() bool {
		return as(100000, "ls", mirror).Run() != nil
	})
	if err := as(1000, "ls", mirror).Run(); err != nil {
		t.Errorf("the owner of the closed directory: %v", err)
	}
}
