package fs

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// recordView is a view with all renderings that views have. The output of each names its arguments.
func recordView(name string) View {
	v := text(name, "plain")
	v.Kind, v.Version, v.Hash = "record", 3, "0123456789abcdef"
	for r := Plain + 1; int(r) < len(renderings); r++ {
		if renderings[r].dir != allDir { // of unions alone
			v.Renderings = append(v.Renderings, r)
		}
	}
	v.Render = func(_ context.Context, as Rendering, cgroup uint64, _ Rights,
		dst []byte) ([]byte, error) {
		return fmt.Appendf(dst, "%s %d of %d", name, as, cgroup), nil
	}
	return v
}

func TestRenderings(t *testing.T) {
	plain := text("plain", "")
	plain.Renderings, plain.Render = []Rendering{Tree}, recordView("plain").Render
	m := newMount(t, Config{}, recordView("cpu"), plain)
	a := m.tree.mkdir(rootID, "a")
	files := map[[2]string]Rendering{
		{"json", "cpu.json"}: JSON, {"prom", "cpu.prom"}: Prom, {"raw", "cpu"}: Raw,
		{"schema", "cpu.json"}: Schema, {"tree", "cpu"}: Tree, {"tree", "cpu.json"}: TreeJSON,
		{"tree", "cpu.prom"}: TreeProm, {"tree", "cpu.raw"}: TreeRaw,
		{"textfile", "cpu.prom"}: Textfile, {"schema", "cpu.proto"}: Proto,
	}
	if all := recordView("cpu").Renderings; len(files) != len(all) {
		t.Errorf("%d of %d renderings are opened here", len(files), len(all))
	}
	for file, as := range files {
		f := m.open("a", ".bpfview", file[0], file[1])
		want := fmt.Sprintf("cpu %d of %d", as, a)
		if got, st := f.pread(0, 4096); got != want || !st.Ok() || f.size() != uint64(len(want)) {
			t.Errorf("%v: %q (%v, size %d), want %q", file, got, st, f.size(), want)
		}
	}
	for dir, want := range map[string][]string{
		"json": {"cpu.json"}, "prom": {"cpu.prom"}, "raw": {"cpu"}, "schema": {"cpu.json", "cpu.proto"},
		"tree": {"cpu", "plain", "cpu.json", "cpu.prom", "cpu.raw"}, "id": nil, "textfile": {"cpu.prom"},
	} {
		d, st := m.walk("a", ".bpfview", dir)
		if got := m.list(d.NodeId, 64); !st.Ok() || !slices.Equal(got[2:], want) {
			t.Errorf("%s holds %q (%v), want %q", dir, got, st, want)
		}
	}
	for _, name := range [][2]string{
		{"json", "cpu"}, {"json", "plain.json"}, {"json", "cpu.json.json"}, {"raw", "cpu.raw"}, {"tree", "plain.json"},
		{"schema", "cpu"}, {"prom", ".prom"}, {"tree", "nothing"}, {"textfile", "cpu"}, {"textfile", "plain.prom"},
	} {
		if _, st := m.walk("a", ".bpfview", name[0], name[1]); st != fuse.ENOENT {
			t.Errorf("%v: %v", name, st)
		}
	}
}

// A view that is not in a directory has no file there, and hides no child cgroup. Its trees are a separate
// matter.
func TestViewsThatAreNotEverywhere(t *testing.T) {
	here := recordView("cpu")
	here.Warning = "goes on as it was"
	m := newMount(t, Config{})
	a := m.tree.mkdir(rootID, "a")
	b := m.tree.mkdir(rootID, "b")
	child := m.tree.mkdir(b, "cpu")
	here.In = func(cgroup uint64) error {
		if cgroup != a {
			return fmt.Errorf("only in\n%d", a)
		}
		return nil
	}
	if err := m.SetViews([]View{here}); err != nil {
		t.Fatal(err)
	}
	if _, st := m.walk("a", "cpu"); !st.Ok() {
		t.Errorf("in a: %v", st)
	}
	if out, st := m.walk("b", "cpu"); !st.Ok() || out.NodeId != child {
		t.Errorf("b/cpu is node %d (%v), want the cgroup %d", out.NodeId, st, child)
	}
	if _, st := m.walk("b", ".bpfview", "json", "cpu.json"); st != fuse.ENOENT {
		t.Errorf("its rendering in b: %v", st)
	}
	trees := func() []string {
		dir, _ := m.walk("b", ".bpfview", "tree")
		return m.list(dir.NodeId, 4096)[2:]
	}
	if _, st := m.walk("b", ".bpfview", "tree", "cpu.json"); !st.Ok() || len(trees()) != 4 {
		t.Errorf("its tree in b: %v, among %q", st, trees())
	}
	nowhere := here
	nowhere.InTree = here.In
	if err := m.SetViews([]View{nowhere}); err != nil {
		t.Fatal(err)
	}
	if _, st := m.walk("b", ".bpfview", "tree", "cpu.json"); st != fuse.ENOENT || len(trees()) != 0 {
		t.Errorf("its tree where it has none: %v, among %q", st, trees())
	}
	dir, _ := m.walk("b")
	if got := m.list(dir.NodeId, 4096); !slices.Equal(got, []string{".", "..", "cpu"}) {
		t.Errorf("b holds %q", got)
	}
	if got, _ := m.open("b", ".bpfview", "views").pread(0, 4096); !slices.Contains(lines(got), fmt.Sprintf(
		"%-4s %-9s %-6s %7d %-16s only in %d (warning: goes on as it was)", "cpu", "elsewhere", "record", 3, "0123456789abcdef", a)) {
		t.Errorf("views in b says:\n%s", got)
	}
}

func TestViewsOwner(t *testing.T) {
	u, g := uint32(5), uint32(6)
	v := recordView("cpu")
	v.UID, v.GID, v.Mode = &u, &g, 0o404
	m := newMount(t, Config{}, v)
	for _, path := range [][]string{{"cpu"}, {".bpfview", "json", "cpu.json"}, {".bpfview", "tree", "cpu"}} {
		if out, st := m.walk(path...); !st.Ok() || out.Uid != u || out.Gid != g || out.Mode != unix.S_IFREG|0o404 {
			t.Errorf("%v: %v owner %v mode %o", path, st, out.Owner, out.Mode)
		}
	}
}
