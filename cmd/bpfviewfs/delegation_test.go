package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestDelegatedCommands has a user who may read the views of one cgroup and of those below. Some of these have
// the name of a view, or of .bpfview.
func TestDelegatedCommands(t *testing.T) {
	dir := mountOpenly(t, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	own := c.child("user@65534.service")
	taken := own.child("cpu")
	cgroups := []*cgroup{own, taken, taken.child("tasks"), own.child(".bpfview"), own.child("...")}
	for _, c := range cgroups {
		if err := os.Chown(c.path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	nobodys := asNobody(t, exec.Command(command)).Path
	home := filepath.Dir(nobodys)
	if err := os.Chown(home, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, c := range cgroups {
		word := c.path
		for _, args := range [][]string{
			{"cat", "cpu", word}, {"cat", "--tree", "--format", "json", "cpu", word},
			{"show", "--interval", "1ms", word}, {"show", "tasks", word},
			{"show", "--interval", "1ms", "--tree", "cpu", word},
			{"top", "--once", "--interval", "100ms", word},
		} {
			args = append(args, "--mount", dir)
			for uid, program := range map[uint32]string{0: command, 65534: nobodys} {
				code, out, stderr := call(t, as(uid, append([]string{program}, args...)...))
				if code != 0 {
					t.Errorf("user %d: %q: exit %d: %s%s", uid, args, code, out, stderr)
				}
			}
		}
		if code, out, stderr := call(t, as(65534, nobodys, "record", "--mount", dir, "--count", "1",
			filepath.Join(home, "x.rec"), "cpu", word)); code != 0 {
			t.Errorf("record: exit %d: %s%s", code, out, stderr)
		}
	}
	text := mustRun(t, "cat", "--mount", dir, "--tree", "--format", "json", "cpu", taken.path)
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, `"cgroup":"tasks"`) {
		t.Errorf("the tree of a cgroup called cpu: %s", text)
	}
	for _, args := range [][]string{{"cat", "cpu", c.path}, {"show", "cpu", c.path}, {"show"}} {
		args = append(append([]string{nobodys}, args...), "--mount", dir)
		code, out, stderr := call(t, as(65534, args...))
		if code != exitNotPermitted || out != "" {
			t.Errorf("%q: exit %d: %s%s", args, code, out, stderr)
		}
	}
	for _, args := range [][]string{{"cat", "../cpu", "/"}, {"show", "ssh.service", "cpu"}} {
		if code, _, stderr := call(t, exec.Command(command, args...)); code != 1 ||
			!strings.Contains(stderr, "cannot be a view's name") {
			t.Errorf("%q: exit %d: %s", args, code, stderr)
		}
	}
}
