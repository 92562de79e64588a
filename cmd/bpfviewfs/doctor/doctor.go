// Package doctor looks at all that a mount of bpfviewfs needs, for example the kernel's features,
// filesystems, rights and installed files. It only reads, and needs no rights. A fact that an ordinary user
// cannot see is [Unknown].
package doctor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Verdict is the result of a check.
type Verdict string

// Verdicts, from good to bad.
const (
	OK      Verdict = "ok"
	Note    Verdict = "note"    // something works less well
	Unknown Verdict = "unknown" // this user cannot see it
	Bad     Verdict = "bad"     // a mount or some views will not work
)

// Line is the result of one check.
type Line struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"` // the next step
}

// Machine is the machine to look at.
type Machine struct {
	Root   string                    // of the files, "/" for this machine
	Mounts []Mount                   // of bpfviewfs
	Probe  func(target string) error // reads from a mount of bpfviewfs
	Limit  func() (memlock uint64, err error)
}

// Mount is a mount of bpfviewfs.
type Mount struct{ Target, Source string }

// Check makes all checks.
func (m Machine) Check() []Line {
	var lines []Line
	for _, check := range []func(Machine) []Line{
		Machine.fuse, Machine.btf, Machine.config, Machine.bpffs, Machine.cgroups, Machine.pressure, Machine.tracefs,
		Machine.capabilities, Machine.lockdown, Machine.lsm, Machine.memlock, Machine.directories, Machine.installed, Machine.mounts,
	} {
		lines = append(lines, check(m)...)
	}
	return lines
}

func (m Machine) path(name string) string { return filepath.Join(m.Root, name) }

func (m Machine) read(name string) (string, error) {
	text, err := os.ReadFile(m.path(name))
	return strings.TrimSpace(string(text)), err
}

// because is the reason of an error without the file's name.
func because(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func one(check string, v Verdict, found, remedy string) []Line {
	return []Line{{check, v, found, remedy}}
}

func (m Machine) fuse() []Line {
	types, _ := m.read("proc/filesystems")
	if !slices.Contains(strings.Fields(types), "fuse") {
		return one("fuse", Bad, "the kernel has no FUSE now",
			"load it: modprobe fuse; or build with CONFIG_FUSE_FS")
	}
	fi, err := os.Stat(m.path("dev/fuse"))
	switch {
	case err != nil:
		return one("fuse", Bad, "/dev/fuse: "+because(err),
			"make it: mknod -m 666 /dev/fuse c 10 229; in a container, pass the device")
	case fi.Mode()&os.ModeCharDevice == 0:
		return one("fuse", Bad, "/dev/fuse is no device",
			"remove it, and make it: mknod -m 666 /dev/fuse c 10 229")
	}
	return one("fuse", OK, "/dev/fuse", "")
}

func (m Machine) btf() []Line {
	fi, err := os.Stat(m.path("sys/kernel/btf/vmlinux"))
	if err != nil {
		return one("btf", Bad, "/sys/kernel/btf/vmlinux: "+because(err),
			"use a kernel that was built with CONFIG_DEBUG_INFO_BTF")
	}
	return one("btf", OK, fmt.Sprintf("/sys/kernel/btf/vmlinux, %d KiB", fi.Size()>>10), "")
}

// needed are settings of the kernel's build, and the features that are missing without them.
var needed = []struct {
	name, lacks string
	verdict     Verdict
}{
	{"CONFIG_BPF_SYSCALL", "no view can run", Bad},
	{"CONFIG_DEBUG_INFO_BTF", "no view can run", Bad},
	{"CONFIG_CGROUPS", "there are no cgroups", Bad},
	{"CONFIG_FUSE_FS", "nothing can be mounted", Bad},
	{"CONFIG_BPF_JIT", "views are slow", Note},
	{"CONFIG_CGROUP_BPF", "the view bpf is absent", Note},
	{"CONFIG_MEMCG", "the view memory is absent or empty", Note},
	{"CONFIG_CFS_BANDWIDTH", "cpu shows no throttling", Note},
	{"CONFIG_PSI", "the view psi is absent or empty", Note},
	{"CONFIG_INET", "sockets shows no TCP and UDP", Note},
}

func (m Machine) config() []Line {
	release, _ := m.read("proc/sys/kernel/osrelease")
	text, from, err := m.configText(release)
	if err != nil {
		return one("config", Unknown,
			fmt.Sprintf("Linux %s; its configuration is in neither /proc/config.gz nor /boot",
				release), "")
	}
	var lines []Line
	for _, n := range needed {
		if !bytes.Contains(text, []byte("\n"+n.name+"=y")) &&
			!bytes.Contains(text, []byte("\n"+n.name+"=m")) {
			lines = append(lines, Line{"config", n.verdict, n.name + " is off: " + n.lacks,
				"use a kernel that was built with it"})
		}
	}
	if lines == nil {
		lines = one("config", OK, fmt.Sprintf("Linux %s, %s", release, from), "")
	}
	return lines
}

func (m Machine) configText(release string) (text []byte, from string, err error) {
	if packed, err := os.Open(m.path("proc/config.gz")); err == nil {
		defer packed.Close()
		if unpacked, err := gzip.NewReader(packed); err == nil {
			if text, err = io.ReadAll(unpacked); err == nil {
				return append([]byte("\n"), text...), "/proc/config.gz", nil
			}
		}
	}
	from = "/boot/config-" + release
	text, err = os.ReadFile(m.path(from))
	return append([]byte("\n"), text...), from, err
}

// mounted are the mounts of a type: mount point and options.
func (m Machine) mounted(fstype string) (list [][2]string) {
	text, _ := m.read("proc/self/mounts")
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == fstype {
			list = append(list, [2]string{f[1], f[3]})
		}
	}
	return list
}

func (m Machine) bpffs() []Line {
	for _, at := range m.mounted("bpf") {
		if at[0] == "/sys/fs/bpf" {
			return one("bpffs", OK, at[0], "")
		}
	}
	return one("bpffs", Note, "/sys/fs/bpf is not mounted: views are verified at every start",
		"mount -t bpf bpf /sys/fs/bpf; a mount of bpfviewfs does so itself")
}

func (m Machine) cgroups() []Line {
	var lines []Line
	for _, at := range m.mounted("cgroup2") {
		controllers, err := m.read(at[0] + "/cgroup.controllers")
		switch {
		case err != nil:
			lines = append(lines, Line{"cgroup2", Note, at[0] + ": " + because(err), ""})
		case lacking(controllers) != "":
			lines = append(lines, Line{"cgroup2", Note,
				at[0] + ", without " + lacking(controllers) + ": its views lack those values",
				"boot with cgroup_no_v1=all, or mount a v1 hierarchy: bpfviewfs mount DIRECTORY-OF-v1 DIR"})
		default:
			lines = append(lines, Line{"cgroup2", OK, at[0] + ", with " + controllers, ""})
		}
	}
	if lines == nil {
		lines = one("cgroup2", Bad, "not mounted", "mount -t cgroup2 none /sys/fs/cgroup")
	}
	for _, at := range m.mounted("cgroup") {
		lines = append(lines, Line{"cgroup v1", OK, at[0] + ", with " + controllersOf(at[1]), ""})
	}
	return lines
}

// lacking are the controllers that views show and a hierarchy does not have.
func lacking(controllers string) string {
	missing := slices.DeleteFunc([]string{"cpu", "memory"}, func(name string) bool {
		return slices.Contains(strings.Fields(controllers), name)
	})
	return strings.Join(missing, " and ")
}

// controllersOf are the controllers among the options of a v1 mount.
func controllersOf(options string) string {
	words := slices.DeleteFunc(strings.Split(options, ","), func(word string) bool {
		return slices.Contains([]string{"rw", "ro", "relatime", "noatime", "nosuid", "nodev",
			"noexec", "seclabel", "xattr", "noprefix"}, word)
	})
	return strings.Join(words, ",")
}

func (m Machine) pressure() []Line {
	if _, err := os.Stat(m.path("proc/pressure")); err != nil {
		return one("pressure", Note, "/proc/pressure: "+because(err)+": the view psi is empty",
			"boot with psi=1")
	}
	return one("pressure", OK, "/proc/pressure", "")
}

func (m Machine) tracefs() []Line {
	if at := m.mounted("tracefs"); len(at) > 0 {
		return one("tracefs", OK, at[0][0], "")
	}
	return one("tracefs", OK,
		"not mounted; only views of your own that attach to tracepoints by name need it", "")
}

// caps are the capabilities that a mount needs, by their numbers.
var caps = []struct {
	name string
	bit  uint
}{{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN}, {"CAP_BPF", unix.CAP_BPF}, {"CAP_PERFMON", unix.CAP_PERFMON},
	{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH}}

func (m Machine) capabilities() []Line {
	text, err := m.read("proc/self/status")
	if err != nil {
		return one("capabilities", Unknown, because(err), "")
	}
	sets := make(map[string]uint64)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "Cap") {
			sets[name], _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	var missing, unreachable []string
	for _, c := range caps {
		if sets["CapEff"]>>c.bit&1 == 0 {
			missing = append(missing, c.name)
		}
		if sets["CapBnd"]>>c.bit&1 == 0 {
			unreachable = append(unreachable, c.name)
		}
	}
	switch {
	case len(unreachable) > 0:
		return one("capabilities", Bad, "no process here can have "+strings.Join(unreachable, " "),
			"start it outside this container or unit")
	case len(missing) > 0:
		return one("capabilities", Note, "this user lacks "+strings.Join(missing, " "),
			"mount as root; reading a mount takes none")
	}
	return one("capabilities", OK, "all that a mount needs", "")
}

// chosen is the word in brackets.
func chosen(list string) string {
	_, rest, _ := strings.Cut(list, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}

func (m Machine) lockdown() []Line {
	text, err := m.read("sys/kernel/security/lockdown")
	switch mode := chosen(text); {
	case errors.Is(err, fs.ErrNotExist):
		return one("lockdown", OK, "the kernel has none, or securityfs is not mounted", "")
	case err != nil:
		return one("lockdown", Unknown, because(err), "look as root")
	case mode == "confidentiality":
		return one("lockdown", Bad, "confidentiality: BPF programs may not read the kernel",
			"boot with lockdown=integrity or none")
	default:
		return one("lockdown", OK, mode, "")
	}
}

func (m Machine) lsm() []Line {
	text, err := m.read("sys/kernel/security/lsm")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one("lsm", OK, "securityfs is not mounted, or there is none", "")
	case err != nil:
		return one("lsm", Unknown, because(err), "look as root")
	}
	if enforcing, _ := m.read("sys/fs/selinux/enforce"); enforcing == "1" {
		return one("lsm", Note, text+"; SELinux enforces",
			"if a mount is refused, look for bpf and fuse in: ausearch -m avc")
	}
	return one("lsm", OK, text, "")
}

func (m Machine) memlock() []Line {
	limit, err := m.Limit()
	switch {
	case err != nil:
		return one("memlock", Unknown, err.Error(), "")
	case limit == unix.RLIM_INFINITY:
		return one("memlock", OK, "unlimited", "")
	}
	return one("memlock", OK,
		fmt.Sprintf("%d KiB; since Linux 5.11 BPF is charged to the memory cgroup instead",
			limit>>10), "")
}

// viewsDirectories are where views of one's own are.
var viewsDirectories = []string{"/usr/lib/bpfviewfs/views.d", "/etc/bpfviewfs/views.d"}

func (m Machine) directories() []Line {
	var lines []Line
	for _, dir := range viewsDirectories {
		var st unix.Stat_t
		switch err := unix.Stat(m.path(dir), &st); {
		case err == unix.ENOENT:
		case err != nil:
			lines = append(lines, Line{"views", Unknown, dir + ": " + err.Error(),
				"look as root"})
		case st.Uid != 0 || st.Mode&0o022 != 0:
			lines = append(lines, Line{"views", Bad,
				dir + " can be written by others than root, so its views are refused",
				fmt.Sprintf("chown root %s && chmod go-w %s", dir, dir)})
		default:
			lines = append(lines, Line{"views", OK, dir, ""})
		}
	}
	return lines
}

// unitDirectories are where systemd looks for units, the first first.
var unitDirectories = []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
	"usr/lib/systemd/system", "lib/systemd/system"}

func (m Machine) installed() []Line {
	var lines []Line
	if _, err := os.Stat(m.path("sbin/mount.fuse.bpfviewfs")); err != nil {
		lines = one("mount(8)", Note,
			"/sbin/mount.fuse.bpfviewfs: "+because(err)+": mount -t fuse.bpfviewfs may not work",
			"make install")
	} else {
		lines = one("mount(8)", OK, "/sbin/mount.fuse.bpfviewfs", "")
	}
	if _, err := os.Stat(m.path("run/systemd/system")); err != nil {
		return append(lines, Line{"systemd", OK, "this machine was not booted with it", ""})
	}
	for _, dir := range unitDirectories {
		unit := filepath.Join("/", dir, "bpfviewfs.service")
		if _, err := os.Stat(m.path(unit)); err == nil {
			if _, err := os.Lstat(m.path("etc/systemd/system/multi-user.target.wants/bpfviewfs.service")); err != nil {
				return append(lines, Line{"systemd", Note, unit + " is not enabled",
					"systemctl enable --now bpfviewfs"})
			}
			return append(lines, Line{"systemd", OK, unit, ""})
		}
	}
	return append(lines,
		Line{"systemd", Note, "no unit bpfviewfs.service is installed: a mount dies with its keeper",
			"make install"})
}

func (m Machine) mounts() []Line {
	if len(m.Mounts) == 0 {
		return one("mount", Note, "no bpfviewfs is mounted", "bpfviewfs mount /run/bpfview")
	}
	var lines []Line
	for _, at := range m.Mounts {
		found := fmt.Sprintf("%s shows %s", at.Target, at.Source)
		switch err := m.Probe(at.Target); {
		case err == nil:
			lines = append(lines, Line{"mount", OK, found, ""})
		case errors.Is(err, unix.ENOTCONN):
			lines = append(lines, Line{"mount", Bad,
				found + ": it is dead, because its keeper was killed",
				"bpfviewfs umount " + at.Target})
		case errors.Is(err, unix.ETIMEDOUT):
			lines = append(lines, Line{"mount", Bad, found + ": it does not answer",
				"try again in 20 s; then bpfviewfs umount " + at.Target})
		case errors.Is(err, unix.EACCES):
			lines = append(lines, Line{"mount", Unknown, found + ": " + because(err),
				"look as root"})
		default:
			lines = append(lines, Line{"mount", Bad, found + ": " + because(err),
				"bpfviewfs why " + at.Target})
		}
	}
	return lines
}

// Print prints the lines in columns, with the remedy of a line below it.
func Print(to io.Writer, lines []Line) error {
	out := bufio.NewWriter(to)
	for _, l := range lines {
		fmt.Fprintf(out, "%-8s%-13s %s\n", l.Verdict, l.Check, l.Found)
		if l.Remedy != "" {
			fmt.Fprintf(out, "%22s-> %s\n", "", l.Remedy)
		}
	}
	return out.Flush()
}
