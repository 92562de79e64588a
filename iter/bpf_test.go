package iter

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// attachTypes are those that the test uses, as the view names them.
var attachTypes = map[string]ebpf.AttachType{
	"cgroup_inet_egress":      ebpf.AttachCGroupInetEgress,
	"cgroup_inet_sock_create": ebpf.AttachCGroupInetSockCreate,
	"cgroup_getsockopt":       ebpf.AttachCGroupGetsockopt,
}

// allow makes a program that lets everything pass.
func allow(t *testing.T, name string, typ ebpf.ProgramType, at ebpf.AttachType) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: typ, AttachType: at, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// attachTo attaches without a link; it ends with the cgroup.
func attachTo(t *testing.T, dir string, p *ebpf.Program, at ebpf.AttachType, flags uint32) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(d.Fd()), Program: p, Attach: at, Flags: flags}); err != nil {
		t.Fatal(err)
	}
}

func linkTo(t *testing.T, dir string, p *ebpf.Program, at ebpf.AttachType) string {
	t.Helper()
	l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Program: p, Attach: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	info, err := l.Info()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(info.ID)
}

// inEffect gives the ids of the programs that run for the cgroup, in their order, as bpf(2) tells it.
func inEffect(t *testing.T, dir string, at ebpf.AttachType) (ids []string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(d.Fd()), Attach: at, QueryFlags: unix.BPF_F_QUERY_EFFECTIVE})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range result.Programs {
		ids = append(ids, fmt.Sprint(p.ID))
	}
	return ids
}

func TestBPFAgreesWithQuery(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["bpf"]
	parent := testCgroup(t, h.String(), "bpfviewfs-test-*")
	child := testCgroup(t, parent, "child")
	const egress, create, get = ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetSockCreate, ebpf.AttachCGroupGetsockopt
	twice := allow(t, "twice", ebpf.CGroupSKB, egress)
	attachTo(t, parent, twice, egress, unix.BPF_F_ALLOW_MULTI)
	linked := linkTo(t, parent, allow(t, "linked", ebpf.CGroupSKB, egress), egress)
	attachTo(t, child, allow(t, "own", ebpf.CGroupSKB, egress), egress, unix.BPF_F_ALLOW_MULTI)
	attachTo(t, child, twice, egress, unix.BPF_F_ALLOW_MULTI)
	attachTo(t, parent, allow(t, "overridden", ebpf.CGroupSock, create), create, unix.BPF_F_ALLOW_OVERRIDE)
	attachTo(t, child, allow(t, "override", ebpf.CGroupSock, create), create, 0)
	attachTo(t, parent, allow(t, "single", ebpf.CGroupSockopt, get), get, 0)

	here, above := fmt.Sprint(cgroupID(t, child)), fmt.Sprint(cgroupID(t, parent))
	type row struct{ attach, name, mode, origin, cgroup, link string }
	want := map[row]bool{
		{"cgroup_inet_egress", "own", "multi", "own", here, "-"}:              true,
		{"cgroup_inet_egress", "twice", "multi", "own", here, "-"}:            true,
		{"cgroup_inet_egress", "twice", "multi", "inherited", above, "-"}:     true,
		{"cgroup_inet_egress", "linked", "multi", "inherited", above, linked}: true,
		{"cgroup_inet_sock_create", "override", "single", "own", here, "-"}:   true,
		{"cgroup_getsockopt", "single", "single", "inherited", above, "-"}:    true,
	}
	shown := make(map[string][]string)
	for _, r := range rows(t, mustRun(t, view, cgroupID(t, child))) {
		at := r["attach_type"]
		if r["position"] != strconv.Itoa(len(shown[at])) {
			t.Errorf("after %d of %s there is %v", len(shown[at]), at, r)
		}
		shown[at] = append(shown[at], r["id"])
		if r["attached_to"] == here || r["attached_to"] == above {
			delete(want, row{at, r["name"], r["mode"], r["origin"], r["attached_to"], r["link"]})
		}
	}
	for r := range want {
		t.Errorf("not there: %+v", r)
	}
	for name, at := range attachTypes {
		if want := inEffect(t, child, at); fmt.Sprint(shown[name]) != fmt.Sprint(want) {
			t.Errorf("%s: %v, but bpf(2) has %v", name, shown[name], want)
		}
	}
}

func TestBPFOfLSM(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["bpf"]
	dir := testCgroup(t, h.String(), "bpfviewfs-test-*")
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "on_create", Type: ebpf.LSM, AttachType: ebpf.AttachLSMCgroup, AttachTo: "socket_create", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()},
	})
	if errors.Is(err, unix.EPERM) {
		t.Log("this kernel takes no LSM programs")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	linkTo(t, dir, p, ebpf.AttachLSMCgroup)
	all := rows(t, mustRun(t, view, cgroupID(t, dir)))
	for _, r := range all {
		if r["attach_type"] == "lsm_cgroup" && r["hook"] == "bpf_lsm_socket_create" && r["name"] == "on_create" && r["origin"] == "own" {
			return
		}
	}
	t.Errorf("not there: %v", all)
}
