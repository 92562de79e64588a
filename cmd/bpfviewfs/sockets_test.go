package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestSocketsElsewhere has a process of a cgroup listen in a network namespace of its own.
func TestSocketsElsewhere(t *testing.T) {
	testenv.Needs(t, "busybox")
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	cmd := c.run(exec.Command("unshare", "-n", "busybox", "nc", "-l", "-p", "4711"))
	var rows []struct {
		PID          int
		Protocol     string
		State        string
		LocalPort    int    `json:"local_port"`
		LocalAddress string `json:"local_address"`
		Netns        uint64
	}
	eventually(t, "the socket is shown", func() bool {
		text := strings.TrimSpace(read(t, c.mirror+"/.bpfview/json/sockets.json"))
		if err := json.Unmarshal([]byte("["+strings.ReplaceAll(text, "\n", ",")+"]"), &rows); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		return len(rows) == 1 && rows[0].State == "listen"
	})
	row, pid := rows[0], cmd.Process.Pid
	if row.PID != pid || !strings.HasPrefix(row.Protocol, "tcp") || row.LocalPort != 4711 {
		t.Errorf("%+v", row)
	}
	own, its := inode(t, "/proc/self/ns/net"), inode(t, fmt.Sprintf("/proc/%d/ns/net", pid))
	if own == its || row.Netns != its {
		t.Errorf("in network namespace %d, it is in %d, this test in %d", row.Netns, its, own)
	}
	if text := read(t, c.mirror+"/sockets"); !strings.Contains(text, " 4711 ") {
		t.Errorf("as text:\n%s", text)
	}
}
