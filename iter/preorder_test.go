package iter

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Programs with BPF_F_PREORDER run before all others, the topmost cgroup's first. One program may be attached
// to several cgroups. Cgroups above that do not allow several do not count.
func TestBPFPreorder(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["bpf"]
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	parent := ktest.Cgroup(t, top, "parent")
	child := ktest.Cgroup(t, parent, "child")
	const egress, create = ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetSockCreate
	const preorder = 1 << 6 // BPF_F_PREORDER
	one, two := allow(t, "one", ebpf.CGroupSKB, egress), allow(t, "two", ebpf.CGroupSKB, egress)
	attachTo(t, top, two, egress, unix.BPF_F_ALLOW_MULTI)
	attachTo(t, parent, one, egress, unix.BPF_F_ALLOW_MULTI)
	linked := linkTo(t, child, two, egress)
	want := []string{"two " + linked + " 0", "one - 1", "two - 2"}

	same := allow(t, "same", ebpf.CGroupSock, create)
	attachTo(t, top, same, create, unix.BPF_F_ALLOW_OVERRIDE)
	attachTo(t, parent, same, create, unix.BPF_F_ALLOW_OVERRIDE)
	attachTo(t, child, same, create, unix.BPF_F_ALLOW_MULTI)

	dir, err := os.Open(child)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	err = link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: int(dir.Fd()), Program: one, Attach: egress, Flags: unix.BPF_F_ALLOW_MULTI | preorder,
	})
	switch {
	case errors.Is(err, unix.EINVAL):
		t.Log("this kernel has no BPF_F_PREORDER")
	case err != nil:
		t.Fatal(err)
	default:
		attachTo(t, parent, two, egress, unix.BPF_F_ALLOW_MULTI|preorder)
		want = append([]string{"two - 1", "one - 0"}, want...)
	}
	var got, ids []string
	for _, r := range rows(t, mustRun(t, view, ktest.CgroupID(t, child))) {
		switch r["attach_type"] {
		case "cgroup_inet_egress":
			got = append(got, r["name"]+" "+r["link"]+" "+r["levels_up"])
			ids = append(ids, r["id"])
		case "cgroup_inet_sock_create":
			if r["name"] == "same" && (r["levels_up"] != "0" || r["mode"] != "multi" ||
				r["position"] != "0") {
				t.Errorf("%v", r)
			}
		}
	}
	if in := inEffect(t, child, egress); !slices.Equal(ids, in) {
		t.Errorf("programs %v, but bpf(2) has %v", ids, in)
	}
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("%q, want %q first", got, fmt.Sprint(want))
	}
}
