package iter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"unsafe"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// attachTypes are the attach types that the test uses, by the names that the view shows.
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
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: int(d.Fd()),
		Program: p, Attach: at, Flags: flags}); err != nil {
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

// inEffect gives the ids of the programs that run for the cgroup, in the order that bpf(2) tells.
func inEffect(t *testing.T, dir string, at ebpf.AttachType) (ids []string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	result, err := link.QueryPrograms(link.QueryOptions{Target: int(d.Fd()), Attach: at,
		QueryFlags: unix.BPF_F_QUERY_EFFECTIVE})
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
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	child := ktest.Cgroup(t, parent, "child")
	const egress, create, get = ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetSockCreate,
		ebpf.AttachCGroupGetsockopt
	twice := allow(t, "twice", ebpf.CGroupSKB, egress)
	attachTo(t, parent, twice, egress, unix.BPF_F_ALLOW_MULTI)
	linked := linkTo(t, parent, allow(t, "linked", ebpf.CGroupSKB, egress), egress)
	attachTo(t, child, allow(t, "own", ebpf.CGroupSKB, egress), egress, unix.BPF_F_ALLOW_MULTI)
	attachTo(t, child, twice, egress, unix.BPF_F_ALLOW_MULTI)
	attachTo(t, parent, allow(t, "overridden", ebpf.CGroupSock, create), create,
		unix.BPF_F_ALLOW_OVERRIDE)
	attachTo(t, child, allow(t, "override", ebpf.CGroupSock, create), create, 0)
	attachTo(t, parent, allow(t, "single", ebpf.CGroupSockopt, get), get, 0)

	type row struct{ attach, name, mode, levels, link string }
	want := map[row]bool{
		{"cgroup_inet_egress", "own", "multi", "0", "-"}:            true,
		{"cgroup_inet_egress", "twice", "multi", "0", "-"}:          true,
		{"cgroup_inet_egress", "twice", "multi", "1", "-"}:          true,
		{"cgroup_inet_egress", "linked", "multi", "1", linked}:      true,
		{"cgroup_inet_sock_create", "override", "single", "0", "-"}: true,
		{"cgroup_getsockopt", "single", "single", "1", "-"}:         true,
	}
	shown := make(map[string][]string)
	for _, r := range rows(t, mustRun(t, view, ktest.CgroupID(t, child))) {
		at := r["attach_type"]
		if r["position"] != strconv.Itoa(len(shown[at])) {
			t.Errorf("after %d of %s there is %v", len(shown[at]), at, r)
		}
		shown[at] = append(shown[at], r["id"])
		delete(want, row{at, r["name"], r["mode"], r["levels_up"], r["link"]})
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

// allowLSM makes a program for a hook of the kernel's security modules. cilium/ebpf v0.22 cannot make one for
// cgroups, because it does not look up the hook's BTF id.
func allowLSM(t *testing.T, name, hook string) (*ebpf.Program, error) {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var function *btf.Func
	if err := kernel.TypeByName(hook, &function); err != nil {
		t.Fatal(err)
	}
	id, err := kernel.TypeID(function)
	if err != nil {
		t.Fatal(err)
	}
	var code bytes.Buffer
	if err := (asm.Instructions{asm.Mov.Imm(asm.R0, 1),
		asm.Return()}).Marshal(&code, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	license := [4]byte{'G', 'P', 'L'}
	attr := struct { // union bpf_attr of BPF_PROG_LOAD
		typ, instructions uint32
		code, license     unsafe.Pointer
		_                 [6]uint32
		name              [16]byte
		_, attachType     uint32
		_                 [9]uint32
		attachTo          btf.TypeID
		_                 [2]uint32
	}{
		typ: uint32(ebpf.LSM), instructions: 2, code: unsafe.Pointer(unsafe.SliceData(code.Bytes())),
		license:    unsafe.Pointer(&license),
		attachType: uint32(ebpf.AttachLSMCgroup), attachTo: id,
	}
	copy(attr.name[:], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)),
		unsafe.Sizeof(attr))
	if errno != 0 {
		return nil, errno
	}
	return ebpf.NewProgramFromFD(int(fd))
}

func TestBPFOfLSM(t *testing.T) {
	h := testHierarchy(t, "")
	view := testViews(t, h, Options{})["bpf"]
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	p, err := allowLSM(t, "on_create", "bpf_lsm_socket_create")
	if errors.Is(err, unix.EPERM) {
		t.Log("this kernel takes no LSM programs")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	linkTo(t, dir, p, ebpf.AttachLSMCgroup)
	all := rows(t, mustRun(t, view, ktest.CgroupID(t, dir)))
	if len(all) == 0 {
		t.Fatal("not there")
	}
	for column, want := range map[string]string{
		"attach_type": "lsm_cgroup", "hook": "bpf_lsm_socket_create", "name": "on_create",
		"levels_up": "0", "position": "0", "mode": "multi",
	} {
		if all[0][column] != want {
			t.Errorf("%s is not %s: %v", column, want, all[0])
		}
	}
}
