package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
)

// A view that needs cgroup2 is absent on cgroup v1, and all places that tell of views say where to look.
func TestViewOfAnotherHierarchy(t *testing.T) {
	testenv.NeedsRoot(t)
	v1 := ktest.V1(t)
	const reason = "it works with cgroup2 alone, and this is a cgroup v1 hierarchy: bpfviewfs mount cgroup2 DIRECTORY"
	dir := mountDir(t, v1)
	if row := rowOf(t, dir, "psi"); !strings.HasPrefix(row, "absent ") ||
		!strings.HasSuffix(row, reason) {
		t.Errorf("views: %s", row)
	}
	if exists(dir + "/psi") {
		t.Error("it has a file")
	}
	var status struct{ Absent map[string]string }
	if err := json.Unmarshal([]byte(read(t, dir+"/.bpfview/status.json")), &status); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(status.Absent["psi"], reason) || status.Absent["tasks"] != "" {
		t.Errorf("status.json: %v", status.Absent)
	}
	code, out, _ := call(t, exec.Command(command, "why", "--source", v1, "psi"))
	if code != 4 || !strings.Contains(out, reason) {
		t.Errorf("why: exit %d: %s", code, out)
	}
	if _, out, _ := call(t, exec.Command(command, "views", "--source", v1)); !strings.Contains(out,
		reason) {
		t.Errorf("views: %s", out)
	}
}
