package iter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// testTree makes so many cgroups below a new one, a hundred in each of the first level.
func testTree(t testing.TB, h *cgroups.Hierarchy, n int) string {
	t.Helper()
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	var made []string
	t.Cleanup(func() {
		for _, dir := range slices.Backward(made) {
			ktest.RemoveCgroup(t, dir)
		}
	})
	parent := ""
	for i := range n {
		dir := filepath.Join(parent, fmt.Sprintf("child %d", i))
		if i%100 == 0 {
			parent = filepath.Join(top, fmt.Sprintf("parent-%d", i/100))
			dir = parent
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		made = append(made, dir)
	}
	return top
}

// walkDir gives the paths of all cgroups below dir and itself, relative to it, with their ids.
func walkDir(t testing.TB, dir string) map[string]uint64 {
	t.Helper()
	ids := make(map[string]uint64)
	err := filepath.WalkDir(dir, func(path string, e iofs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		ids[rel] = ktest.CgroupID(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func mustTree(t testing.TB, v *View, f records.Format, id uint64) []byte {
	t.Helper()
	out, err := v.Tree(context.Background(), f, id, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type treeLine struct {
	Cgroup string `json:"cgroup"`
	ID     uint64 `json:"cgroup_id"`
	Pid    int    `json:"pid"`
}

func treeLines(t testing.TB, out []byte) (lines []treeLine) {
	t.Helper()
	for line := range bytes.Lines(out) {
		var l treeLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

// ways are a view's ways to a tree: in one walk, in batches, one cgroup after the other, and that without the
// programs that list cgroups.
func ways(t testing.TB, v *View) map[string]*View {
	t.Helper()
	each, directories := *v,
		*find(t,
			openSet(t, v.set.hierarchy, Config{Builtin: only(t, v.name),
				Options: v.set.config.Options}),
			v.name)
	each.job = v.job.Without(runs.InWalk, runs.PerTree)
	directories.job = directories.job.Without(runs.InWalk, runs.PerTree)
	all := map[string]*View{"walk": v, "each": &each, "directories": &directories}
	if v.job.Program(runs.PerTree) != nil {
		batches := *v
		batches.job = v.job.Without(runs.InWalk)
		all["batches"] = &batches
	}
	return all
}

func TestTree(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	sizes := []int{1, 300, 10000}
	if testing.Short() {
		sizes = []int{1, 300}
	}
	for _, n := range sizes {
		top := testTree(t, h, n)
		want := walkDir(t, top)
		for way, v := range ways(t, views["cpu"]) {
			lines := treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top)))
			if len(lines) != n+1 || lines[0].Cgroup != "." {
				t.Errorf("%s: %d lines for %d cgroups, the first %+v",
					way, len(lines), n+1, lines[0])
			}
			seen := make(map[string]bool)
			for _, l := range lines {
				if want[l.Cgroup] != l.ID || seen[l.Cgroup] {
					t.Errorf("%s: %q has id %d, not %d; seen %t",
						way, l.Cgroup, l.ID, want[l.Cgroup], seen[l.Cgroup])
				}
				seen[l.Cgroup] = true
				if parent := filepath.Dir(l.Cgroup); l.Cgroup != "." && !seen[parent] {
					t.Errorf("%s: %q comes before its parent", way, l.Cgroup)
				}
			}
		}
	}
}

// TestTreeLeavesOutWhatRightsRefuse holds that a tree lacks the cgroups that its reader could not reach, in
// every way of reading.
func TestTreeLeavesOutWhatRightsRefuse(t *testing.T) {
	h := testHierarchy(t, "")
	top := testTree(t, h, 0)
	for _, dir := range []struct {
		path string
		mode uint32
	}{
		{"a", 0o755}, {"a/closed", 0o700}, {"a/closed/below", 0o755},
		{"a/entered", 0o711}, {"a/entered/below", 0o755}, {"b", 0o750},
	} {
		path := filepath.Join(top, dir.path)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ktest.RemoveCgroup(t, path) })
		if err := unix.Chmod(path, dir.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(unix.Chmod(top, 0o755), os.Chown(filepath.Join(top, "b"), 7, 8)); err != nil {
		t.Fatal(err)
	}
	member := func(uid, gid, mode uint32) uint32 {
		if uid == 7 && gid == 8 {
			return mode >> 3 & 5
		}
		return mode & 5
	}
	for way, v := range ways(t, testViews(t, h, Options{})["cpu"]) {
		for name, tt := range map[string]struct {
			rights runs.Rights
			want   []string
		}{
			"everything": {nil, []string{".", "a", "a/closed", "a/closed/below", "a/entered",
				"a/entered/below", "b"}},
			"a member": {member, []string{".", "a", "a/entered", "b"}},
			"nothing":  {func(uint32, uint32, uint32) uint32 { return 0 }, []string{"."}},
		} {
			out, err := v.Tree(context.Background(), records.JSON, ktest.CgroupID(t, top),
				tt.rights, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range treeLines(t, out) {
				got = append(got, line.Cgroup)
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%s, %s: %q, want %q", way, name, got, tt.want)
			}
		}
	}
}

func TestTreeOfTasks(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	top := testTree(t, h, 3)
	want := make(map[int]string)
	for rel, children := range map[string]int{".": 0, "parent-0": 2, "parent-0/child 1": 600} {
		dir := filepath.Join(top, rel)
		ktest.Helper{Cgroup: dir, Children: children}.Start(t)
		for _, pid := range ktest.IDs(t, dir, "cgroup.procs") {
			want[pid] = rel
		}
		// The one pass does not show more than 512 threads.
		for way, v := range ways(t, views["tasks"]) {
			got := make(map[int]string)
			for _, l := range treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top))) {
				got[l.Pid] = l.Cgroup
			}
			for pid, rel := range want {
				if got[pid] != rel {
					t.Errorf("%s: process %d is in %q, not %q", way, pid, got[pid], rel)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %d processes, not %d", way, len(got), len(want))
			}
		}
	}
}

// The pass shows each cgroup whole and once, in whatever order the sizes of the outputs come. If the last one
// of a batch does not fit, it is the first of the next batch.
func TestTreeInBatches(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["tasks"]
	if v.job.Program(runs.PerTree) == nil {
		return // the kernel does not find cgroups by their ids
	}
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	want := make(map[string]int)
	sizes := []int{150, 400, 100, 490, 490, 1, 250, 260}
	const many = 256 // cgroups in a batch
	for i := range 2 * many {
		name := fmt.Sprintf("c%03d", i)
		dir := ktest.Cgroup(t, top, name)
		if n := i - many + 4; n >= 0 && n < len(sizes) {
			ktest.Helper{Cgroup: dir, Children: sizes[n]}.Start(t)
			want[name] = sizes[n]
		}
	}
	id := ktest.CgroupID(t, top)
	pass := *v
	pass.job = v.job.Without(runs.InWalk, runs.PerCgroup, runs.PerTask) // there is no other way
	tree, err := raw.Parse(mustTree(t, &pass, records.Raw, id))
	listed := treeLines(t, mustTree(t, testViews(t, h, Options{})["cpu"], records.JSON, id))
	if err != nil || len(tree.Frames) != len(listed) {
		t.Fatalf("%+v, %v, want %d cgroups", tree, err, len(listed))
	}
	for i, f := range tree.Frames {
		if f.Cgroup != listed[i].ID {
			t.Fatalf("part %d is of cgroup %d, want %d", i, f.Cgroup, listed[i].ID)
		}
		// The helper has some threads of its own beside its children.
		if n := len(f.Records) / tree.Size; n < want[f.Path] || n > want[f.Path]+20 ||
			want[f.Path] == 0 && n > 0 {
			t.Errorf("%s: %d threads, want %d and a few", f.Path, n, want[f.Path])
		}
	}
}

// The counts that CPUs still keep are in the tree, even if nothing else makes the kernel collect them.
func TestTreeIsFlushed(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["cpu"]
	top := testTree(t, h, 2)
	dir := filepath.Join(top, "parent-0", "child 1")
	ktest.Helper{Cgroup: dir, Threads: 1, Mode: "busy", Comm: "t"}.Start(t)
	for _, id := range []uint64{h.Root(), ktest.CgroupID(t, top)} {
		first := treeUsage(t, v, id, ktest.CgroupID(t, dir))
		deadline := time.Now().Add(time.Minute)
		for treeUsage(t, v, id, ktest.CgroupID(t, dir)) < first+30000 {
			if time.Now().After(deadline) {
				t.Fatalf("the tree of %d stays at %d microseconds", id, first)
			}
		}
	}
}

func treeUsage(t testing.TB, v *View, top, id uint64) uint64 {
	t.Helper()
	for line := range bytes.Lines(mustTree(t, v, records.JSON, top)) {
		var l struct {
			treeLine
			Usage uint64 `json:"usage_usec"`
		}
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.ID == id {
			return l.Usage
		}
	}
	t.Fatalf("cgroup %d is not in the tree of %d", id, top)
	return 0
}

// Cgroups that come and go are there or not, and nothing else.
func TestTreeWhileCgroupsVanish(t *testing.T) {
	h := testHierarchy(t, "")
	ways := ways(t, testViews(t, h, Options{})["cpu"])
	top := testTree(t, h, 50)
	stay := walkDir(t, top)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			dir := filepath.Join(top, "parent-0", fmt.Sprintf("passing-%d", i%7))
			sub := filepath.Join(dir, "sub")
			for _, err := range []error{os.Mkdir(dir, 0o755), os.Mkdir(sub, 0o755),
				os.Remove(sub), os.Remove(dir)} {
				if err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 100 {
		for way, v := range ways {
			seen := 0
			for _, l := range treeLines(t, mustTree(t, v, records.JSON, ktest.CgroupID(t, top))) {
				if id, ok := stay[l.Cgroup]; ok {
					seen++
					if id != l.ID {
						t.Errorf("%s: %q has id %d, not %d", way, l.Cgroup, l.ID, id)
					}
				} else if !strings.HasPrefix(l.Cgroup, "parent-0/passing-") {
					t.Errorf("%s: %q", way, l.Cgroup)
				}
			}
			if seen != len(stay) {
				t.Errorf("%s: %d cgroups of %d", way, seen, len(stay))
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// longNames makes a chain of n cgroups with names of 250 bytes, and gives the id of the last. A path to it
// may be too long.
func longNames(t testing.TB, dir string, n int) (id uint64) {
	t.Helper()
	name := strings.Repeat("n", 250)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	for range n {
		if err != nil {
			t.Fatal(err)
		}
		above := fd
		if err := unix.Mkdirat(above, name, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(unix.Unlinkat(above, name,
				unix.AT_REMOVEDIR), unix.Close(above)); err != nil {
				t.Error(err)
			}
		})
		fd, err = unix.Openat(above, name, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	var st unix.Stat_t
	if err := errors.Join(err, unix.Fstat(fd, &st), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// A cgroup that gives an error is not left out in silence.
func TestTreeWithoutAnswer(t *testing.T) {
	h := testHierarchy(t, "")
	v := testViews(t, h, Options{})["cpu"]
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Cgroup(t, top, "child")
	unknown := func(uint64) error { return unix.EBADF }
	_, err := v.job.Tree(context.Background(), records.Text, ktest.CgroupID(t, top), nil, unknown, nil)
	ktest.Errno(t, "tree", err, unix.EBADF)
}

func TestTreeErrors(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{MaxRun: 10})
	ctx, cancel := context.WithCancel(context.Background())
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	for way, v := range ways(t, views["cpu"]) {
		for _, f := range v.TreeFormats() {
			out, err := v.Tree(ctx, f, id, nil, []byte("kept"))
			ktest.Errno(t, way, err, unix.EFBIG)
			if string(out) != "kept" {
				t.Errorf("%s: %q beside the error", way, out)
			}
		}
	}
	cancel()
	for way, v := range ways(t, views["cpu"]) {
		_, err := v.Tree(ctx, records.Text, id, nil, nil)
		ktest.Errno(t, way, err, unix.EINTR)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	for way, v := range ways(t, views["cpu"]) {
		_, err := v.Tree(context.Background(), records.Prom, id, nil, nil)
		ktest.Errno(t, way, err, unix.ENOENT)
		_, err = v.Tree(context.Background(), records.Text, id, nil, nil)
		ktest.Errno(t, way, err, unix.ENOENT)
	}
	_, err := views["cgroup"].Tree(context.Background(), records.JSON, h.Root(), nil, nil)
	ktest.Errno(t, "JSON of text", err, unix.EOPNOTSUPP)
}
