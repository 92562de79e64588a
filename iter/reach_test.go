package iter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/programs"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// loadForeign loads an object of testdata as it is in its file, with settings.
func loadForeign(t *testing.T, name, settings string) (*View, error) {
	t.Helper()
	v := &View{name: name, life: newLife(), set: testSet(t, testHierarchy(t, ""), Options{})}
	var err error
	if v.settings, err = sources.ParseSettings([]byte(settings)); err != nil {
		t.Fatal(err)
	}
	parsed, err := programs.Parse(testdata(t, name), name)
	if err == nil {
		err = apply(v.settings, parsed)
	}
	if err == nil {
		err = v.loadObject(&object{Object: parsed, view: name}, kernelTypes)
	}
	if err == nil {
		t.Cleanup(func() { v.close() })
	}
	return v, err
}

func mustLoadForeign(t *testing.T, name, settings string) *View {
	t.Helper()
	v, err := loadForeign(t, name, settings)
	if err != nil {
		t.Fatalf("%+v", &loadError{name, err})
	}
	return v
}

// fileEntry is struct file_entry of testdata/entries.bpf.c.
type fileEntry struct {
	FD     uint32
	PID    int32
	Comm   [16]byte
	Text   uint64
	BPF    bool
	_      [7]byte
	Record uint64
}

// Programs name symbols of the kernel as const, and options of its configuration that it need not have.
func TestSymbolsAndConfiguration(t *testing.T) {
	dir := ktest.Cgroup(t, testHierarchy(t, "").String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir}.Start(t)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	entries := func(which int) []fileEntry {
		v := mustLoadForeign(t, "entries", fmt.Sprintf("parameters: {which: %d}", which))
		raw := []byte(mustRun(t, v, ktest.CgroupID(t, dir)))
		entries := make([]fileEntry, len(raw)/binary.Size(fileEntry{}))
		if _, err := binary.Decode(raw, binary.NativeEndian, entries); err != nil {
			t.Fatal(err)
		}
		return entries
	}
	if none := entries(0); len(none) > 0 {
		t.Errorf("%d entries", len(none))
	}
	for i, e := range entries(2) {
		if e.FD != uint32(i) || e.PID != int32(pid) ||
			unix.ByteSliceToString(e.Comm[:])+"\n" != string(comm) {
			t.Errorf("entry %d is %+v", i, e)
		}
		if line := fmt.Sprintf("%016x T _stext\n", e.Text); !bytes.Contains(symbols, []byte(line)) {
			t.Errorf("there is no %q in /proc/kallsyms", line)
		}
		if _, err := os.Stat("/proc/config.gz"); err == nil && !e.BPF {
			t.Error("an option that the kernel's configuration sets is zero")
		}
	}
	if all := entries(1); len(all) < 3 {
		t.Errorf("%d entries", len(all))
	}
}

// noViews are the objects compiled in that are no views.
type noViews struct{ iofs.FS }

func (noViews) ReadDir(string) ([]iofs.DirEntry, error) { return nil, nil }

// setOf opens the views of a directory, with settings by their names. The objects are of testdata.
func setOf(t *testing.T, registry string, files map[string]string) *Set {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		raw := []byte(content)
		if object, ok := strings.CutPrefix(content, "testdata:"); ok {
			raw = testdata(t, object)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return openSet(t, testHierarchy(t, ""), Config{Builtin: noViews{bpf.Objects}, Dirs: []string{dir},
		Registry: registry})
}

// viewOf gives the view of a name, or fails the test.
func viewOf(t *testing.T, s *Set, name string) *View {
	t.Helper()
	for _, v := range s.Views() {
		if v.Name() == name {
			return v
		}
	}
	t.Fatalf("no view %s", name)
	return nil
}

// pinDirectory mounts a bpffs where libbpf pins maps, if there is none.
func pinDirectory(t *testing.T) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(programs.PinDirectory, &fs); err != nil || fs.Type == unix.BPF_FS_MAGIC {
		return
	}
	if err := unix.Mount("bpf", programs.PinDirectory, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(programs.PinDirectory, 0); err != nil {
			t.Error(err)
		}
	})
}

// Each iterator of an object is a view. A left-out one is told. Plain variables are parameters, and a map
// that another program has pinned by its name belongs to that program.
func TestSeveralViewsInOneObject(t *testing.T) {
	pinDirectory(t)
	registry := ktest.BPFFS(t)
	dir := ktest.Cgroup(t, testHierarchy(t, "").String(), "bpfviewfs-test-*")
	one, two := ktest.Helper{Cgroup: dir}.Start(t), ktest.Helper{Cgroup: dir}.Start(t)
	s := setOf(t, registry, map[string]string{
		"several.bpf.o":     "testdata:several",
		"several.yaml":      "description: from the object",
		"several_pids.yaml": fmt.Sprintf("{description: of its own, parameters: {only: %d, mark: it is}}", two),
	})
	whole, pids, counts := viewOf(t, s, "several"), viewOf(t, s, "several_pids"),
		viewOf(t, s, "several_counts")
	if ktest.Errno(t, "the object", whole.Err(), unix.ENOENT); !strings.HasSuffix(whole.Err().Error(),
		"several_counts, several_pids") {
		t.Errorf("%v", whole.Err())
	}
	if pids.Err() != nil || pids.Help() != "of its own" {
		t.Fatalf("%v, help %q", pids.Err(), pids.Help())
	}
	if got, want := mustRun(t, pids, ktest.CgroupID(t, dir)),
		fmt.Sprintf("it is %d\n", two); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, word := range []string{"several_setup", "several_sockets", "left out: "} {
		if strings.Count(pids.Warning(), word) != 1 {
			t.Errorf("the warning has %q not once: %q", word, pids.Warning())
		}
	}
	if err := counts.Err(); err == nil || !strings.Contains(err.Error(),
		programs.PinDirectory+"/bpfview_test_map") {
		t.Fatalf("without the map: %v", err)
	}

	count := func(n uint64) {
		t.Helper()
		path := filepath.Join(programs.PinDirectory, "bpfview_test_map")
		os.Remove(path)
		m, err := ebpf.NewMap(&ebpf.MapSpec{
			Name: "bpfview_test_map", Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 16,
			Contents: []ebpf.MapKV{{Key: uint32(one), Value: n}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Pin(path); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
		if _, err := s.reload(); err != nil {
			t.Fatal(err)
		}
		counts := viewOf(t, s, "several_counts")
		if counts.Err() != nil || counts.Help() != "from the object" {
			t.Fatalf("%v, help %q", counts.Err(), counts.Help())
		}
		if got, want := mustRun(t, counts, ktest.CgroupID(t, dir)),
			fmt.Sprintf("%d %d\n", one, n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	count(42)
	count(43) // a new map of the same name
}

// A directory in the registry, as bpftool prog loadall makes it, has views. If other users can write it, its
// pins are listed with the reason.
func TestDirectoriesInRegistry(t *testing.T) {
	registry := testRegistry(t)
	mkdir := func(name string) string {
		dir := filepath.Join(registry, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	x, y, deep := mkdir("x"), mkdir("y"), mkdir("x/deep")
	pinForeign(t, filepath.Join(x, "below"), ktest.Writing("below", "cgroup", 10))
	pinForeign(t, filepath.Join(x, "top"), ktest.Writing("top", "cgroup", 20))
	pinForeign(t, filepath.Join(registry, "top"), ktest.Writing("top", "cgroup", 30))
	pinForeign(t, filepath.Join(y, "hidden"), ktest.Writing("hidden", "cgroup", 40))
	pinForeign(t, filepath.Join(deep, "deeper"), ktest.Writing("deeper", "cgroup", 50))
	if err := os.Chmod(y, 0o777); err != nil {
		t.Fatal(err)
	}
	s := setOf(t, registry, nil)
	size := func(name string, want int) {
		t.Helper()
		v := viewOf(t, s, name)
		if v.Err() != nil {
			t.Fatal(v.Err())
		}
		if out := mustRun(t, v, s.hierarchy.Root()); len(out) != want*512 {
			t.Errorf("%s: %d bytes, want %d", v.Source(), len(out), want*512)
		}
	}
	size("below", 10)
	size("top", 30)
	refused := func(name, word string) {
		t.Helper()
		if err := viewOf(t, s, name).Err(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("y", "chmod go-w")
	refused("deep", "is a directory")
	if err := os.Chmod(y, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(registry, "top")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reload(); err != nil {
		t.Fatal(err)
	}
	size("hidden", 40)
	size("top", 20)

	if err := os.Chmod(registry, 0o777); err != nil {
		t.Fatal(err)
	}
	pinForeign(t, filepath.Join(registry, "new"), ktest.Writing("new", "cgroup", 60))
	if _, err := s.reload(); err != nil {
		t.Fatal(err)
	}
	refused("new", "chmod go-w")
}

// A directory that appears in the registry is watched.
func TestWatchBelowRegistry(t *testing.T) {
	registry := testRegistry(t)
	s := setOf(t, registry, nil)
	changed := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Watch(ctx, func() { changed <- struct{}{} }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(registry, "x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		pinForeign(t, filepath.Join(dir, name), ktest.Writing(name, "cgroup", 10))
		for !slices.ContainsFunc(s.Views(), func(v *View) bool {
			return v.Name() == name && v.Err() == nil
		}) {
			<-changed
		}
	}
}

// Settings name the struct that a program writes, of an object and of a pinned program.
func TestRecordOfSettings(t *testing.T) {
	dir := ktest.Cgroup(t, testHierarchy(t, "").String(), "bpfviewfs-test-*")
	pid := ktest.Helper{Cgroup: dir}.Start(t)
	checkEntries := func(v *View) {
		t.Helper()
		if v.Kind() != "record" || !strings.Contains(v.Warning(), "record_") {
			t.Fatalf("kind %s, warning %q", v.Kind(), v.Warning())
		}
		table := rows(t, mustRun(t, v, ktest.CgroupID(t, dir)))
		if len(table) != 3 {
			t.Fatalf("%d rows", len(table))
		}
		for i, row := range table {
			if row["fd"] != fmt.Sprint(i) || row["holder_pid"] != fmt.Sprint(pid) ||
				row["holder_comm"] == "" || row["record_"] != "" {
				t.Errorf("row %d: %v", i, row)
			}
		}
	}
	const settings = "{parameters: {which: 2}, record: file_entry}"
	checkEntries(viewOf(t, setOf(t, "", map[string]string{"entries.bpf.o": "testdata:entries", "entries.yaml": settings}), "entries"))
	for settings, word := range map[string]string{
		"record: no_such_entry":          "no struct no_such_entry",
		"{record: holder, mode: '0400'}": "",
	} {
		v := viewOf(t,
			setOf(t, "", map[string]string{"entries.bpf.o": "testdata:entries",
				"entries.yaml": settings}), "entries")
		if (v.Err() == nil) != (word == "") || v.Err() != nil &&
			!strings.Contains(v.Err().Error(), word) {
			t.Errorf("%s: %v", settings, v.Err())
		}
	}
	if v := viewOf(t, setOf(t, "", map[string]string{"inside.bpf.o": "testdata:inside", "inside.yaml": "record: inside_record"}), "inside"); v.Err() == nil {
		t.Error("a program that says what it writes is told another struct")
	}

	testenv.Needs(t, "bpftool")
	pinDirectory(t)
	registry := testRegistry(t)
	out, err := exec.Command("bpftool", "prog", "loadall", "testdata/several.bpf.o",
		filepath.Join(registry, "x")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { os.Remove(filepath.Join(programs.PinDirectory, "bpfview_test_map")) })
	v := viewOf(t, setOf(t, registry, map[string]string{"several_pids.yaml": "record: task_struct"}),
		"several_pids")
	if v.Err() != nil || v.Kind() != "record" {
		t.Errorf("a pinned program: kind %q, %v", v.Kind(), v.Err())
	}
}

// accounts gives this thread an /etc/passwd of its own until the test is over, which the test writes. The
// thread then returns to the mount namespace of all others. It does not end with its goroutine if it is the
// first of the process, and its namespace would keep copies of the mounts that other packages' tests end.
func accounts(t *testing.T) (passwd string) {
	t.Helper()
	passwd = filepath.Join(t.TempDir(), "passwd")
	write(t, passwd, []byte("root:x:0:0::/:/bin/sh\n"))
	shared, err := os.Open("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // for good, because its root and working directory are its own now
	t.Cleanup(func() {
		if err := unix.Setns(int(shared.Fd()), unix.CLONE_NEWNS); err != nil {
			t.Errorf("back to the shared mount namespace: %v", err)
		}
		shared.Close()
	})
	err = unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount(passwd, "/etc/passwd", "", unix.MS_BIND, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return passwd
}

// A view appears when the reason for its absence has passed, without an event in its places.
func TestViewIsTriedAgain(t *testing.T) {
	h := testHierarchy(t, "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "says.bpf.o"), testdata(t, "says"))
	write(t, filepath.Join(dir, "says.yaml"), []byte("owner: bpfview_late"))
	write(t, filepath.Join(dir, "never.bpf.o"), []byte("no ELF"))
	passwd := accounts(t)
	s, err := Open(h, Config{Builtin: noViews{bpf.Objects}, Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	says, never := viewOf(t, s, "says"), viewOf(t, s, "never")
	if says.Err() == nil || says.retry.at.IsZero() || never.Err() == nil || !never.retry.at.IsZero() {
		t.Fatalf("says: %v, never: %v", says.Err(), never.Err())
	}
	tried, due := says.retry.tried, says.retry.at
	_, err = s.update(false)
	if again := viewOf(t, s, "says").retry.tried; err != nil || again != tried && again.Before(due) {
		t.Fatalf("it is tried again at once: %v", err)
	}
	for says.retry.tried == tried { // the reason stays
		time.Sleep(time.Until(s.nextRetry()))
		if changed, err := s.update(false); changed || err != nil {
			t.Fatalf("changed: %v, %v", changed, err)
		}
	}
	if says.retry.delay != 2*firstRetry {
		t.Errorf("the delay is %v", says.retry.delay)
	}
	if says.retry.due(true); says.retry.delay != 0 ||
		says.retry.at.Sub(says.retry.tried) != max(firstRetry, retryShare*says.retry.took) {
		t.Errorf("after an event: %+v", says.retry)
	}
	write(t, passwd, []byte("root:x:0:0::/:/bin/sh\nbpfview_late:x:1234:1234::/:/bin/sh\n"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.Watch(ctx, cancel); err != nil {
		t.Fatal(err)
	}
	v := viewOf(t, s, "says")
	if uid := v.UID(); uid == nil || *uid != 1234 {
		t.Errorf("owner %v, %v", uid, v.Err())
	}
}

// The header and the footer of a program that is run for each process are there once.
func TestFrames(t *testing.T) {
	dir := ktest.Cgroup(t, testHierarchy(t, "").String(), "bpfviewfs-test-*")
	pids := []int{ktest.Helper{Cgroup: dir}.Start(t), ktest.Helper{Cgroup: dir}.Start(t),
		ktest.Helper{Cgroup: dir}.Start(t)}
	slices.Sort(pids)
	processes := fmt.Sprintf("%d\n%d\n%d\n", pids[0], pids[1], pids[2])
	frame := regexp.MustCompile(`(?s)^BEGIN\nPID 1\n(.*)END of [1-9][0-9]*\n$`)
	out := mustRun(t, mustLoadForeign(t, "ends", "{}"), ktest.CgroupID(t, dir))
	if want := "BEGIN\n" + processes + "=== END ===\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	out = mustRun(t, mustLoadForeign(t, "ends", "{parameters: {long_frame: true}, header: 2, footer: 1}"),
		ktest.CgroupID(t, dir))
	if m := frame.FindStringSubmatch(out); m == nil || m[1] != processes {
		t.Errorf("%q, want %q between a header and a footer", out, processes)
	}
	out = mustRun(t, mustLoadForeign(t, "ends", "{header: 0, footer: 0}"), ktest.CgroupID(t, dir))
	if strings.Count(out, "BEGIN\n") != 3 || strings.Count(out, "=== END ===\n") != 3 {
		t.Errorf("told that there is no frame: %q", out)
	}
}
