package iter

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
)

// Whatever a thread calls itself, it is one line, one row, and the same in both views.
func TestCommIsEscaped(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	names := map[string]string{
		"a b\n1 2 \xff\\":      `a b\n1 2 \xff\\0`,
		"\tä€😀":                `\tä€😀0`,
		"\u202ex\u0085\u00a0":  `\xe2\x80\xaex\xc2\x85\xc2\xa00`,
		"\xc0\x80\xed\xa0\x80": `\xc0\x80\xed\xa0\x800`,
		"cut short at ä":       `cut short at ä`,
		"cut in betweenä":      `cut in between\xc3`,
	}
	for comm := range names {
		ktest.Helper{Cgroup: dir, Threads: 1, Comm: comm}.Start(t)
	}
	for _, view := range []string{"tasks", "stacks"} {
		for name, v := range flavours(t, views[view]) {
			out := mustRun(t, v, ktest.CgroupID(t, dir))
			for _, comm := range names {
				if !strings.Contains(out, " "+comm+"\n") {
					t.Errorf("%s per %s: no %q in\n%s", view, name, comm, out)
				}
			}
		}
	}
}

func TestStacksAgreeWithProc(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir, Children: 2, Threads: 3, Comm: "t"}.Start(t)
	id := ktest.CgroupID(t, dir)
	for name, v := range flavours(t, views["stacks"]) {
		t.Run(name, func(t *testing.T) {
			out := mustRun(t, v, id)
			if !strings.HasPrefix(out, "PID     TID     STATE COMM\n") ||
				strings.Count(out, "PID") != 1 {
				t.Errorf("header of\n%s", out)
			}
			compared := 0
			for _, child := range ktest.IDs(t, dir, "cgroup.procs") {
				if child == pid {
					continue
				}
				stack, err := os.ReadFile(fmt.Sprintf("/proc/%d/stack", child))
				if err != nil {
					t.Fatal(err)
				}
				want := strings.ReplaceAll(string(stack), "[<0>] ", "    ")
				if !strings.Contains(out, fmt.Sprintf("%-7d %-7d S     ", child, child)) ||
					!strings.Contains(out, want) {
					t.Errorf("no stack of %d\n%sin\n%s", child, want, out)
				}
				compared++
			}
			if compared != 2 {
				t.Errorf("compared %d stacks", compared)
			}
		})
	}
}
