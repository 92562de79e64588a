package iter

import (
	"context"
	"fmt"
	iofs "io/fs"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/runs"
	"bpfviewfs/iter/sources"
)

// feature matches an error that names the missing part of a kernel, for example a kfunc, a helper, a kind of
// map or iterator, or a place to attach to.
var feature = regexp.MustCompile(`controller|kfunc|helper|unknown func|map type|iterator not supported|attach `)

// A built-in view works on every kernel in every format, or its error names the missing part of the kernel.
func TestEveryView(t *testing.T) {
	h := testHierarchy(t, "")
	names, err := iofs.Glob(bpf.Objects, "*"+sources.ObjectSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = strings.TrimSuffix(name, sources.ObjectSuffix)
	}
	s := openSet(t, h, Config{Builtin: bpf.Objects, Enable: names})
	if len(s.Views()) != len(names) {
		t.Errorf("%d views of %d objects", len(s.Views()), len(names))
	}
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Threads: 1, Comm: "t"}.Start(t)
	table := new(strings.Builder)
	columns := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprint(columns, "\nview\tper cgroup\tper call\tper task\tper tree\tbytes\n")
	for _, v := range s.Views() {
		if v.Err() != nil {
			fmt.Fprintf(columns, "%s\tabsent: %v\n", v.Name(), v.Err())
			if !feature.MatchString(v.Err().Error()) {
				t.Errorf("no feature is named: %+v", v.Err())
			}
			continue
		}
		fmt.Fprintf(columns, "%s\t%t\t%t\t%t\t%t\t%s\n", v.Name(),
			v.job.Program(runs.PerCgroup) != nil, v.job.Program(runs.PerCall) != nil, v.job.Program(runs.PerTask) != nil,
			v.job.Program(runs.PerTree) != nil, inEveryFormat(t, v, ktest.CgroupID(t, dir)))
	}
	columns.Flush()
	t.Log(table)
}

// inEveryFormat runs the view in all its formats, and tells how many bytes each gave.
func inEveryFormat(t *testing.T, v *View, id uint64) (bytes string) {
	t.Helper()
	for _, f := range v.Formats() {
		out, err := v.Render(context.Background(), f, id, nil)
		if err != nil || f == records.Text && len(out) == 0 {
			t.Errorf("%s as %s: %d bytes, %v", v.Name(), f, len(out), err)
		}
		bytes += fmt.Sprintf("%s %d, ", f, len(out))
	}
	for _, f := range v.TreeFormats() {
		if _, err := v.Tree(context.Background(), f, id, nil, nil); err != nil {
			t.Errorf("tree of %s as %s: %v", v.Name(), f, err)
		}
	}
	return strings.TrimSuffix(bytes, ", ")
}
