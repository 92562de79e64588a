package doctor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine makes the files of a machine on which all is well.
func machine(t *testing.T) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), Limit: func() (uint64, error) {
		return 8 << 20, nil
	}, Probe: func(string) error { return nil }}
	config := ""
	for _, n := range needed {
		config += n.name + "=y\n"
	}
	for name, text := range map[string]string{
		"proc/filesystems":                 "nodev\tfuse\n",
		"proc/sys/kernel/osrelease":        "6.1.0\n",
		"proc/self/mounts":                 "bpf /sys/fs/bpf bpf rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
		"proc/self/status":                 "Name:\tx\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n",
		"proc/pressure/cpu":                "",
		"boot/config-6.1.0":                config,
		"sys/kernel/btf/vmlinux":           "",
		"sys/kernel/security/lockdown":     "none [integrity] confidentiality\n",
		"sys/kernel/security/lsm":          "capability,bpf",
		"sys/fs/cgroup/cgroup.controllers": "cpu memory",
		"sbin/mount.fuse.bpfviewfs":        "",
		"etc/bpfviewfs/views.d/x":          "",
	} {
		write(t, m, name, text)
	}
	if err := os.MkdirAll(m.path("dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", m.path("dev/fuse")); err != nil { // any character device
		t.Fatal(err)
	}
	m.Mounts = []Mount{{"/run/bpfview", "cgroup2"}}
	return m
}

func write(t *testing.T, m Machine, name, text string) {
	t.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCheck breaks one thing after the other.
func TestCheck(t *testing.T) {
	remove := func(name string) func(*testing.T, *Machine) {
		return func(t *testing.T, m *Machine) {
			if err := os.RemoveAll(m.path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	set := func(name, text string) func(*testing.T, *Machine) {
		return func(t *testing.T, m *Machine) { write(t, *m, name, text) }
	}
	probe := func(err error) func(*testing.T, *Machine) {
		return func(_ *testing.T, m *Machine) {
			m.Probe = func(string) error { return fmt.Errorf("read: %w", err) }
		}
	}
	for name, tt := range map[string]struct {
		broken func(*testing.T, *Machine)
		want   string // "check verdict", and a part of the finding or of the remedy
	}{
		"well":      {func(*testing.T, *Machine) {}, ""},
		"no FUSE":   {set("proc/filesystems", "nodev proc"), "fuse bad modprobe fuse"},
		"no device": {remove("dev/fuse"), "fuse bad mknod"},
		"no BTF":    {remove("sys/kernel/btf"), "btf bad CONFIG_DEBUG_INFO_BTF"},
		"no config": {remove("boot"), "config unknown 6.1.0"},
		"no PSI built in": {set("boot/config-6.1.0", "CONFIG_BPF_SYSCALL=y\n"),
			"config note CONFIG_PSI is off"},
		"no mounts": {set("proc/self/mounts", ""), "cgroup2 bad mount -t cgroup2"},
		"no bpffs": {set("proc/self/mounts", "c /sys/fs/cgroup cgroup2 rw 0 0\n"),
			"bpffs note mount -t bpf"},
		"v1": {set("sys/fs/cgroup/cgroup.controllers", "cpu"),
			"cgroup2 note without memory"},
		"no pressure": {remove("proc/pressure"), "pressure note psi=1"},
		"no rights": {set("proc/self/status", "CapEff:\t0\nCapBnd:\t000001ffffffffff\n"),
			"capabilities note CAP_BPF"},
		"container": {set("proc/self/status", "CapEff:\t0\nCapBnd:\t00000000a80425fb\n"),
			"capabilities bad CAP_SYS_ADMIN"},
		"lockdown": {set("sys/kernel/security/lockdown", "none integrity [confidentiality]"),
			"lockdown bad lockdown=integrity"},
		"SELinux": {set("sys/fs/selinux/enforce", "1"), "lsm note ausearch"},
		"open views": {func(t *testing.T, m *Machine) {
			os.Chmod(m.path("etc/bpfviewfs/views.d"), 0o777)
		}, "views bad chmod go-w"},
		"no helper": {remove("sbin"), "mount(8) note make install"},
		"no unit":   {set("run/systemd/system/x", ""), "systemd note make install"},
		"unit": {func(t *testing.T, m *Machine) {
			set("run/systemd/system/x", "")(t, m)
			set("usr/lib/systemd/system/bpfviewfs.service", "")(t, m)
		}, "systemd note systemctl enable"},
		"no mount": {func(_ *testing.T, m *Machine) {
			m.Mounts = nil
		}, "mount note bpfviewfs mount"},
		"dead":        {probe(unix.ENOTCONN), "mount bad bpfviewfs umount /run/bpfview"},
		"hung":        {probe(unix.ETIMEDOUT), "mount bad does not answer"},
		"not reached": {probe(unix.EACCES), "mount unknown root"},
		"memlock": {func(_ *testing.T, m *Machine) {
			m.Limit = func() (uint64, error) { return 0, unix.EINVAL }
		}, "memlock unknown invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t)
			if os.Geteuid() != 0 {
				remove("etc/bpfviewfs")(t, &m) // it would not be root's
			}
			tt.broken(t, &m)
			lines := m.Check()
			want := strings.SplitN(tt.want, " ", 3)
			found := tt.want == ""
			for _, l := range lines {
				if tt.want == "" && l.Verdict != OK {
					t.Errorf("%+v", l)
				}
				found = found || l.Check == want[0] && string(l.Verdict) == want[1] &&
					strings.Contains(l.Found+l.Remedy, want[2])
			}
			if !found {
				t.Errorf("no line %q in %+v", tt.want, lines)
			}
			var text bytes.Buffer
			if err := Print(&text, lines); err != nil ||
				strings.Count(text.String(), "\n") < len(lines) {
				t.Errorf("%v: %s", err, text.String())
			}
		})
	}
}
