package iter

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func init() {
	ktest.Jobs["datagrams"] = func(procs string) error {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		}
		if err == nil {
			fmt.Println("ready")
			bufio.NewReader(os.Stdin).ReadByte()
		}
		return err
	}
}

// asking makes a view of the objects whose programs learn the cgroup by request.h.
func asking(t *testing.T, name string, o Options) *View {
	t.Helper()
	dir := t.TempDir()
	for _, object := range []string{"asks", "below", "inside", "under"} {
		write(t, filepath.Join(dir, object+".bpf.o"), testdata(t, object))
	}
	s := openSet(t, testHierarchy(t, ""),
		Config{Builtin: noViews{bpf.Objects}, Dirs: []string{dir}, Options: o})
	return viewOf(t, s, name)
}

// A tree of a view that goes through all objects of the machine is one walk for all cgroups, and has the rows
// of each, as it has them if it is run for one after the other. Programs that cannot be read so say why.
func TestRowsOfTree(t *testing.T) {
	h := testHierarchy(t, "")
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	middle := ktest.Cgroup(t, top, "middle")
	ktest.Helper{Cgroup: middle}.Start(t)
	for i := range 20 {
		c := ktest.Cgroup(t, middle, fmt.Sprint("c", i))
		ktest.Helper{Cgroup: c, Threads: i % 3}.Start(t)
		if i%5 == 1 {
			_, in, out := ktest.Start(t, "datagrams;"+filepath.Join(c, "cgroup.procs"))
			t.Cleanup(func() { in.Close() })
			if line, err := out.ReadString('\n'); line != "ready\n" {
				t.Fatal(line, err)
			}
		}
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	for name, slow := range map[string]string{
		"inside": "", "below": "", "under": "", "framed": "", "datagrams": "",
		"sums": "the program may keep something in sums_counts", "knows": "",
	} {
		v := asking(t, name, Options{})
		if warning := v.Warning(); (slow == "") != (warning == "") || !strings.Contains(warning, slow) {
			t.Errorf("%s: warning %q, want %q", name, warning, slow)
		}
		calls := func() uint64 {
			s, err := v.job.Program(runs.Whole).Stats()
			if err != nil {
				t.Fatal(err)
			}
			return s.RunCount
		}
		tree := func(v *View) string { return string(mustTree(t, v, records.Text, ktest.CgroupID(t, top))) }
		start := calls()
		mustRun(t, v, ktest.CgroupID(t, top))
		one := calls() - start
		fast := tree(v)
		all := calls() - start - one
		if name == "sums" || name == "knows" {
			if all < 20*one {
				t.Errorf("%s: %d calls for a tree of 22 cgroups, %d for one", name, all, one)
			}
		} else if all > 5*one {
			t.Errorf("%s: %d calls for a tree of 22 cgroups, %d for one", name, all, one)
		}
		each := *v
		each.job = v.job.Without()
		each.job.SetRows("the test says so")
		if want := tree(&each); fast != want || !strings.Contains(want, "middle/c16") {
			t.Errorf("%s: in one walk\n%s\none by one\n%s", name, fast, want)
		}
	}
}

// match: in settings also chooses among the cgroups of such a tree.
func TestRowsOfChosen(t *testing.T) {
	h := testHierarchy(t, "")
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	for _, name := range []string{"in", "out"} {
		ktest.Helper{Cgroup: ktest.Cgroup(t, top, name)}.Start(t)
	}
	s := setOf(t, "", map[string]string{"inside.bpf.o": "testdata:inside",
		"inside.yaml": "match: [\"" + filepath.Base(top) + "/in\"]"})
	out := string(mustTree(t, viewOf(t, s, "inside"), records.Text, ktest.CgroupID(t, top)))
	found := rows(t, out)
	for _, row := range found {
		if row["path"] != "in" {
			t.Errorf("a row of %s", row["path"])
		}
	}
	if len(found) == 0 {
		t.Errorf("no row: %q", out)
	}
}
