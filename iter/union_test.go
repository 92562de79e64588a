package iter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"golang.org/x/sys/unix"
)

// moments opens the two views that tell when they were run.
func moments(t *testing.T) (s *Set, views []*View, walks bool) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"first", "second"} {
		write(t, filepath.Join(dir, name+".bpf.o"), testdata(t, name))
	}
	s = openSet(t, testHierarchy(t, ""), Config{Builtin: bpf.Objects, Dirs: []string{dir},
		Only: []string{"first", "second"}})
	for _, name := range []string{"first", "second"} {
		v := find(t, s, name)
		if v.Err() != nil {
			t.Fatalf("%+v", v.Err())
		}
		views = append(views, v)
	}
	return s, views, views[0].job.Walks() == nil
}

// momentLine is one line of the JSON of a union of moments: a record, or the snapshot at the end.
type momentLine struct {
	View     string
	Cgroup   string
	ID       uint64 `json:"cgroup_id"`
	Nsec     uint64
	Runs     uint64
	Snapshot *struct {
		Begin uint64 `json:"begin_boottime_usec"`
		End   uint64 `json:"end_boottime_usec"`
		Skew  uint64 `json:"skew_nsec"`
	}
}

func momentLines(t *testing.T, out []byte) (lines []momentLine) {
	t.Helper()
	for line := range bytes.Lines(out) {
		var l momentLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Errorf("%v: %s", err, line)
			return nil
		}
		lines = append(lines, l)
	}
	return lines
}

// checkMoments checks that the views of each cgroup were run back to back, in their order, in one pass.
func checkMoments(t *testing.T, out []byte, names [2]string, cgroups int) {
	lines := momentLines(t, out)
	if len(lines) != 2*cgroups+1 || lines[2*cgroups].Snapshot == nil {
		t.Errorf("%d lines for two views of %d cgroups, or no snapshot at their end",
			len(lines), cgroups)
		return
	}
	s := lines[2*cgroups].Snapshot
	first, second := lines[:cgroups], lines[cgroups:2*cgroups]
	last := s.Begin * 1000
	for i := range first {
		a, b := first[i], second[i]
		if a.View != names[0] || b.View != names[1] || a.Cgroup != b.Cgroup ||
			a.ID != b.ID || a.ID == 0 {
			t.Errorf("line %d is of %s of %q (%d), and of %s of %q (%d)",
				i, a.View, a.Cgroup, a.ID, b.View, b.Cgroup, b.ID)
			return
		}
		if a.Nsec < last || b.Nsec < a.Nsec || b.Nsec-a.Nsec > s.Skew {
			t.Errorf("cgroup %q is shown at %d and %d, the one before at %d; skew %d",
				a.Cgroup, a.Nsec, b.Nsec, last, s.Skew)
			return
		}
		if a.Runs-first[0].Runs != uint64(i) || b.Runs-second[0].Runs != uint64(i) {
			t.Errorf("cgroup %q is in run %d, %d of the views, not %d: others run in between",
				a.Cgroup, a.Runs-first[0].Runs, b.Runs-second[0].Runs, i)
			return
		}
		last = b.Nsec
	}
	if last > s.End*1000+999 {
		t.Errorf("the last view ran at %d ns, after the end at %d µs", last, s.End)
	}
}

// The views of a union are run one right after the other for each cgroup, in the order of the name. Two
// readers at once do not mix. This holds for a walk, and if views cannot walk.
func TestUnionIsOnePass(t *testing.T) {
	s, views, walks := moments(t)
	top := testTree(t, s.hierarchy, 250)
	id := ktest.CgroupID(t, top)
	apart := make([]*View, 2)
	for i := range apart {
		less := *views[i]
		less.job = less.job.Without(runs.InWalk)
		apart[i] = &less
	}
	for way, views := range map[string][]*View{"walk": views, "each": apart} {
		for _, order := range [][2]int{{0, 1}, {1, 0}} {
			ordered := []*View{views[order[0]], views[order[1]]}
			names := [2]string{ordered[0].Name(), ordered[1].Name()}
			readers := 2
			if way == "each" || !walks {
				readers = 1 // without a lock the programs are run for both readers in turn
			}
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for range 5 {
						out, err := s.Union(context.Background(), ordered,
							records.JSON, true, id, nil, nil)
						if err != nil {
							t.Error(err)
							return
						}
						checkMoments(t, out, names, 251)
					}
				})
			}
			wg.Wait()
		}
	}
	u := runs.Union{Jobs: []*runs.Job{views[0].job, views[1].job}, In: make([]func(uint64) error, 2)}
	if err := u.Walks(); (err == nil) != walks {
		t.Errorf("the view first walks: %t; the union: %+v", walks, err)
	}
}

// The example of docs/raw.md reads the raw output of a union, of a view and of a tree.
func TestRawGuide(t *testing.T) {
	testenv.Needs(t, "python3")
	page, err := os.ReadFile("../docs/raw.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(page), "```python\n")
	script, _, _ = strings.Cut(script, "```")
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	top := testTree(t, h, 12)
	id := ktest.CgroupID(t, top)
	union, err := views["cpu"].set.Union(context.Background(), []*View{views["psi"], views["cpu"]},
		records.Raw,
		true, id, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	single, err := views["psi"].Render(context.Background(), records.Raw, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	psi, err := raw.Parse(single)
	if err != nil {
		t.Fatal(err)
	}
	rows := len(psi.Frames[0].Records) / psi.Size
	for _, test := range []struct {
		raw  []byte
		want []string
	}{
		{union, []string{fmt.Sprintf("psi: 13 cgroups, %d records", 13*rows),
			"cpu: 13 cgroups, 13 records"}},
		{single, []string{fmt.Sprintf(": 1 cgroups, %d records", rows)}},
		{mustTree(t, views["cpu"], records.Raw, id), []string{": 13 cgroups, 13 records"}},
	} {
		path := filepath.Join(t.TempDir(), "raw")
		write(t, path, test.raw)
		out, err := exec.Command("python3", "-c", script, path).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err != nil || !slices.Equal(lines, test.want) {
			t.Errorf("the example says %q (%v), want %q", lines, err, test.want)
		}
	}
}

// A union shows the same as its views, in all formats.
func TestUnionShowsItsViews(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	top := testTree(t, h, 120)
	id := ktest.CgroupID(t, top)
	cpu, psi := views["cpu"], views["psi"]
	union := func(f records.Format, tree bool) string {
		t.Helper()
		out, err := cpu.set.Union(context.Background(), []*View{cpu, psi}, f, tree, id, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	of := func(v *View, f records.Format, tree bool) string {
		t.Helper()
		if tree {
			return string(mustTree(t, v, f, id))
		}
		out, err := v.Render(context.Background(), f, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, tree := range []bool{false, true} {
		if got, want := union(records.Text, tree), "# cpu\n"+of(cpu, records.Text, tree)+"\n# psi\n"+
			of(psi, records.Text, tree); got != want {
			t.Errorf("tree %t: text is\n%s\nnot\n%s", tree, got, want)
		}
		lines := slices.Collect(strings.Lines(union(records.JSON, tree)))
		var want []string
		for _, v := range []*View{cpu, psi} {
			for line := range strings.Lines(of(v, records.JSON, tree)) {
				want = append(want, fmt.Sprintf(`{"view":%q,%s`, v.Name(), line[1:]))
			}
		}
		if len(lines) == 0 || !slices.Equal(lines[:len(lines)-1], want) {
			t.Errorf("tree %t: JSON is\n%s\nnot\n%s",
				tree, strings.Join(lines, ""), strings.Join(want, ""))
		}
		parts, err := raw.ParseUnion([]byte(union(records.Raw, tree)))
		if err != nil || len(parts) != 2 {
			t.Fatalf("tree %t: %d raw outputs of two views, %v", tree, len(parts), err)
		}
		for i, v := range []*View{cpu, psi} {
			one, err := raw.Parse([]byte(of(v, records.Raw, tree)))
			if err != nil {
				t.Fatal(err)
			}
			p := parts[i]
			if p.View != v.Name() || p.Hash != one.Hash ||
				fmt.Sprint(p.Frames) != fmt.Sprint(one.Frames) {
				t.Errorf("tree %t: raw %s differs from the view's own", tree, p.View)
			}
			if p.Begin != parts[0].Begin || p.End < p.Begin || p.Skew == 0 || one.Skew != 0 ||
				one.Begin < p.End || one.End < one.Begin || one.BeginUnix.Before(p.BeginUnix) {
				t.Errorf("tree %t: times of %s: %+v, and alone %+v", tree, p.View, p, one)
			}
		}
		page := union(records.Prom, tree)
		families := of(cpu, records.Prom, tree) + of(psi, records.Prom, tree)
		rest, ok := strings.CutPrefix(page, families)
		if !ok || !strings.Contains(rest, "\nbpfview_snapshot_skew_seconds ") {
			t.Errorf("tree %t: the page is\n%s\nnot\n%s and the skew", tree, page, families)
		}
		check(t, page, "promtool", "check", "metrics")
		check(t, strings.Join(lines, ""), "jq", "-es",
			`(map(.view) | unique) == [null, "cpu", "psi"] and .[-1].snapshot.skew_nsec > 0`)
	}
}

// check runs a program that has to accept a text.
func check(t *testing.T, text string, program string, args ...string) {
	t.Helper()
	if !testenv.Has(t, program) {
		return
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", program, err, out)
	}
}

// Views with a row for each process, text and absent ones do not join, and the reason is told.
func TestUnionRefuses(t *testing.T) {
	h := testHierarchy(t, "")
	s := openSet(t, h, Config{Builtin: only(t, "cpu", "tasks", "cgroup", "runqlat")})
	for name, why := range map[string]string{
		"cpu": "", "tasks": "a row for each process", "cgroup": "no records", "runqlat": "absent",
	} {
		v := find(t, s, name)
		err := v.Joins()
		if (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", name, err, why)
		}
		_, err = s.Union(context.Background(), []*View{find(t, s, "cpu"), v}, records.JSON,
			true, h.Root(),
			nil, nil)
		if why != "" {
			ktest.Errno(t, "a union with "+name, err, unix.ENOENT)
		}
	}
}

// A union of a cgroup that is gone is ENOENT.
func TestUnionOfNoCgroup(t *testing.T) {
	s, views, _ := moments(t)
	dir := ktest.Cgroup(t, s.hierarchy.String(), "bpfviewfs-test-*")
	id := ktest.CgroupID(t, dir)
	ktest.RemoveCgroup(t, dir)
	for _, tree := range []bool{false, true} {
		_, err := s.Union(context.Background(), views, records.JSON, tree, id, nil, nil)
		ktest.Errno(t, fmt.Sprintf("tree %t", tree), err, unix.ENOENT)
	}
}

// A union of the built-in views that walk is walked, too.
func TestUnionOfBuiltinViewsWalks(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "runqlat")
	var u runs.Union
	for _, name := range []string{"cpu", "memory", "psi", "runqlat"} {
		v := views[name]
		if v == nil && name == "memory" {
			continue // the controller is on another hierarchy
		}
		if v.job.Walks() != nil {
			return // before v6.4: see TestWalkOfBuiltinViews
		}
		u.Jobs, u.In = append(u.Jobs, v.job), append(u.In, nil)
		if err := u.Walks(); err != nil {
			t.Errorf("the union with %s: %+v", name, err)
		}
	}
}
