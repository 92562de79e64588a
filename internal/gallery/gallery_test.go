// Package gallery has no code of its own: its tests build and run the views of docs/examples.
package gallery

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/records"
	"golang.org/x/sys/unix"
)

// source is the folder of the views.
const source = "../../docs/examples"

func TestMain(m *testing.M) { ktest.Main(m) }

// gallery has a check of each view after its event.
var gallery = map[string]func(t *testing.T, e *event){
	"faults": func(t *testing.T, e *event) {
		faults := e.grew("user") + e.grew("kernel")
		if e.caused < 2000 || faults < e.caused || faults > e.caused+200 {
			t.Errorf("%d page faults, getrusage has %d", faults, e.caused)
		}
	},
	"switches": func(t *testing.T, e *event) {
		if e.grew("voluntary") < often {
			t.Errorf("%d voluntary switches of a thread that slept %d times",
				e.grew("voluntary"), often)
		}
		for member, line := range map[string]string{
			"voluntary":   "\nvoluntary_ctxt_switches:",
			"involuntary": "\nnonvoluntary_ctxt_switches:"} {
			// The threads may wake meanwhile, so /proc is read between two runs, before and after.
			least := e.grew(member)
			now := e.switches(line) - e.before[line]
			if most := e.read().number(member) - e.first.number(member); now < least || now > most {
				t.Errorf("%s is %d and then %d, /proc has %d", member, least, most, now)
			}
		}
	},
	"biolat": func(t *testing.T, e *event) {
		if strings.HasPrefix(e.said, "none: ") {
			t.Logf("no device can be read: %s", e.said)
			return
		}
		// Each read is one bio, or one on each of several devices on top of each other.
		if n, sum := e.histogram("io_usec"); n < often || n%often != 0 || sum == 0 {
			t.Errorf("%d bios of %d µs for %d reads", n, sum, often)
		}
	},
	"retransmits": func(t *testing.T, e *event) {
		if e.grew("segments") != e.caused {
			t.Errorf("%d segments, TCP_INFO has %d", e.grew("segments"), e.caused)
		}
	},
	"connects": func(t *testing.T, e *event) {
		made, _ := e.histogram("connect_usec")
		if failed := e.grew("failed"); made != often || failed != often {
			t.Errorf("%d connections and %d failures, want %d of each", made, failed, often)
		}
	},
	"forks": func(t *testing.T, e *event) {
		if processes, programs := e.grew("processes"),
			e.grew("programs"); processes != often || programs != often {
			t.Errorf("%d processes and %d programs, want %d of each", processes, programs, often)
		}
	},
	"oomkills": func(t *testing.T, e *event) {
		row := e.read()
		comm := strings.TrimSpace(e.comm)
		if e.grew("kills") != 1 || row.number("pid") != int64(e.pid) || row["comm"] != comm {
			t.Errorf("%v, want a kill of process %d, %q", row, e.pid, comm)
		}
	},
	"futexes": func(t *testing.T, e *event) {
		// The runtime of Go waits for futexes, too.
		if waits, sum := e.histogram("wait_usec"); waits < often || sum < e.caused*9/10 {
			t.Errorf("%d waits of %d µs, want %d of %d µs and more", waits, sum, often, e.caused)
		}
	},
}

// feature is how an error names what a kernel lacks.
var feature = regexp.MustCompile(`kfunc|helper|unknown func|map type|attach |tracepoint|BTF|type `)

func TestGallery(t *testing.T) {
	testenv.NeedsRoot(t)
	mountTracefs(t)
	dir := build(t)
	objects, err := filepath.Glob(dir + "/*.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, object := range objects {
		name := strings.TrimSuffix(filepath.Base(object), ".bpf.o")
		if names = append(names, name); gallery[name] == nil {
			t.Errorf("%s has no test", name)
		}
	}
	if len(names) < len(gallery) {
		t.Errorf("objects %v of %d views", names, len(gallery))
	}
	h, err := cgroups.Open("cgroup2")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	set, err := iter.Open(h, iter.Config{Builtin: bpf.Objects, Dirs: []string{dir}, Enable: names,
		Only: names})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	}()
	if len(set.Views()) != len(names) {
		t.Errorf("%d views of %d objects", len(set.Views()), len(names))
	}
	page, err := os.ReadFile(source + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range set.Views() {
		if !strings.Contains(string(page), "["+v.Name()+"]("+v.Name()+".bpf.c)") {
			t.Errorf("README.md does not have %s", v.Name())
		}
		t.Run(v.Name(), func(t *testing.T) {
			if err := v.Err(); err != nil {
				if !feature.MatchString(err.Error()) {
					t.Errorf("no feature is named: %+v", err)
				}
				t.Log(err)
				return
			}
			cause(t, h, v)
		})
	}
}

// build builds the views, and gives the folder of their objects. A virtual machine has them built.
func build(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("BPFVIEWFS_GALLERY"); dir != "" {
		return dir
	}
	testenv.Needs(t, "clang-19", "/usr/include/bpf/bpf_helpers.h", "make")
	dir := t.TempDir()
	if out, err := exec.Command("make", "-C", source, "CLANG=clang-19 -Werror",
		"OUT="+dir).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	return dir
}

// cause causes the event of a view in one cgroup, and reads the view there and in another cgroup.
func cause(t *testing.T, h *cgroups.Hierarchy, v *iter.View) {
	parent := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	here, beside := ktest.Cgroup(t, parent, "here"), ktest.Cgroup(t, parent, "beside")
	e := &event{t: t, view: v, cgroup: ktest.CgroupID(t, here), before: make(map[string]int64)}
	procs := here + "/cgroup.procs"
	if v.Name() == "oomkills" {
		procs += "," + limitMemory(t, here)
	}
	cmd, in, out := ktest.Start(t, "event;"+procs+";"+v.Name())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	e.pid = cmd.Process.Pid
	e.comm = e.proc("comm")
	listen(t, out)
	e.first = e.read()
	e.remember(e.first)
	for _, line := range []string{"\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_switches:"} {
		e.before[line] = e.switches(line)
	}
	if v.Name() == "switches" { // /proc is read between two runs
		e.remember(e.read())
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	if v.Name() == "oomkills" {
		cmd.Wait()
	} else {
		e.said = listen(t, out)
		e.caused, _ = strconv.ParseInt(e.said, 10, 64)
	}
	e.after = e.read()
	gallery[v.Name()](t, e)

	e.cgroup = ktest.CgroupID(t, beside)
	for member, value := range e.read() {
		if number, ok := value.(json.Number); ok && number != "0" {
			t.Errorf("%s of a cgroup without processes is %v", member, number)
		}
	}
	tree, err := v.Tree(context.Background(), records.JSON, ktest.CgroupID(t, parent), nil, nil)
	if err != nil || strings.Count(string(tree), "\n") != 3 {
		t.Errorf("tree of 3 cgroups: %v\n%s", err, tree)
	}
}

// event is one event of a process, with the rows of the view before and after it.
type event struct {
	t      *testing.T
	view   *iter.View
	cgroup uint64
	pid    int
	comm   string

	said   string // by the process
	caused int64  // the number that it said
	first  row    // before all else
	before map[string]int64
	after  row
}

type row map[string]any

func (r row) number(member string) int64 {
	number, _ := r[member].(json.Number)
	n, _ := number.Int64()
	return n
}

// histogram is the number and the sum of a histogram's values.
func (r row) histogram(member string) (count, sum int64) {
	of, _ := r[member].(map[string]any)
	return row(of).number("count"), row(of).number("sum")
}

func (e *event) read() row {
	e.t.Helper()
	text, err := e.view.Render(context.Background(), records.JSON, e.cgroup, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	var r row
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&r); err != nil {
		e.t.Fatalf("%v: %s", err, text)
	}
	return r
}

func (e *event) remember(r row) {
	for member := range r {
		e.before[member] = r.number(member)
		e.before[member+".count"], e.before[member+".sum"] = r.histogram(member)
	}
}

// grew is by how much a counter grew.
func (e *event) grew(member string) int64 { return e.after.number(member) - e.before[member] }

// histogram is by how many values a histogram grew, and by what sum.
func (e *event) histogram(member string) (count, sum int64) {
	count, sum = e.after.histogram(member)
	return count - e.before[member+".count"], sum - e.before[member+".sum"]
}

// switches adds up a line of /proc/PID/task/TID/status.
func (e *event) switches(line string) (sum int64) {
	for _, tid := range ktest.LivingThreads(e.t, e.pid) {
		_, rest, _ := strings.Cut(e.proc(fmt.Sprintf("task/%d/status", tid)), line)
		n, err := strconv.ParseInt(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), 10, 64)
		if err != nil {
			e.t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func (e *event) proc(file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", e.pid, file))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(text)
}

func listen(t *testing.T, out *bufio.Reader) string {
	t.Helper()
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatalf("the process says %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

// limitMemory makes a memory limit, in the cgroup or in one of cgroup v1, and gives the file for its process.
func limitMemory(t *testing.T, dir string) (procs string) {
	t.Helper()
	const limit = "67108864"
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if f[2] == "cgroup" && slices.Contains(strings.Split(f[3], ","), "memory") {
			v1 := ktest.Cgroup(t, f[1], "bpfviewfs-test-*")
			write(t, v1+"/memory.limit_in_bytes", limit)
			return v1 + "/cgroup.procs"
		}
	}
	above := filepath.Dir(dir)
	write(t, filepath.Dir(above)+"/cgroup.subtree_control", "+memory")
	write(t, above+"/cgroup.subtree_control", "+memory")
	write(t, dir+"/memory.max", limit)
	os.WriteFile(dir+"/memory.swap.max", []byte("0"), 0) // there is none without swap
	return dir + "/cgroup.procs"
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// mountTracefs mounts a tracefs, which has the tracepoints of system calls. A service manager does the same.
func mountTracefs(t *testing.T) {
	t.Helper()
	const dir = "/sys/kernel/tracing"
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil && fs.Type == unix.TRACEFS_MAGIC {
		return
	}
	if err := unix.Mount("tracefs", dir, "tracefs",
		unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		t.Fatalf("mount a tracefs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}
