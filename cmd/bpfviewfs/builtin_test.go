package main

import (
	"encoding/json"
	"io/fs"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/iter/raw"
)

// builtin are the names of the views in the binary.
func builtin(t testing.TB) (names []string) {
	t.Helper()
	objects, err := fs.Glob(bpf.Objects, "*.bpf.o")
	if err != nil || len(objects) == 0 {
		t.Fatal(err)
	}
	for _, name := range objects {
		names = append(names, strings.TrimSuffix(name, ".bpf.o"))
	}
	return names
}

// everything enables the views that are off by default.
const everything = "enable=runqlat:reclaim:taskspb"

// TestEveryBuiltinView reads every view and all its renderings, for a cgroup that has something for most of
// them to show.
func TestEveryBuiltinView(t *testing.T) {
	dir := mountDir(t, "cgroup2", everything, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.run(exec.Command("sh", "-c", "while :; do :; done"))
	c.sleep(2)
	for _, view := range builtin(t) {
		row := rowOf(t, c.mirror, view)
		if !strings.HasPrefix(row, "here ") {
			if !namesFeature.MatchString(row) {
				t.Errorf("%s is not there, and the reason names nothing that the kernel lacks: %s", view, row)
			}
			continue
		}
		fields := strings.Fields(row) // state, kind, version, hash, help
		out, err := exec.Command("cat", c.mirror+"/"+view).Output()
		if err != nil {
			t.Errorf("cat %s: %v", view, err)
			continue
		}
		if fields[1] != "encoded" {
			header, _, _ := strings.Cut(string(out), "\n")
			if len(strings.Fields(header)) < 2 || header != strings.ToUpper(header) {
				t.Errorf("%s begins with %q", view, header)
			}
		}
		switch fields[1] {
		case "record":
			checkRenderings(t, c, view, fields[2], fields[3])
		case "encoded":
			want, err := bpf.Objects.ReadFile(view + ".proto")
			if schema := read(t, c.mirror+"/.bpfview/schema/"+view+".proto"); err != nil || schema != string(want) {
				t.Errorf("schema of %s: %q, %v", view, schema, err)
			}
		}
		for _, tree := range treeFiles(t, c, view) {
			read(t, tree)
		}
	}
	if log := read(t, dir+"/.bpfview/errors"); log != "" {
		t.Errorf("errors:\n%s", log)
	}
}

// namesFeature finds the missing part of the kernel in the reason of an absent view. It is a function, type
// or program type, or a message of the verifier or the kernel; or it is a controller.
var namesFeature = regexp.MustCompile(`(absent|elsewhere) .*(controller|kernel|kfunc|func|BTF|type|iterator|helper|argument)`)

func checkRenderings(t *testing.T, c *cgroup, view, version, hash string) {
	t.Helper()
	control := c.mirror + "/.bpfview/"
	var schema struct {
		View    string
		Version json.Number
		Hash    string
		Size    int
		Members []struct{ Name, Type string }
	}
	if err := json.Unmarshal([]byte(read(t, control+"schema/"+view+".json")), &schema); err != nil {
		t.Errorf("schema of %s: %v", view, err)
		return
	}
	if schema.View != view || schema.Version.String() != version || schema.Hash != hash ||
		len(schema.Members) == 0 {
		t.Errorf("%s: schema %+v, but views says version %s, hash %s", view, schema, version, hash)
	}
	out, err := raw.Parse([]byte(read(t, control+"raw/"+view)))
	if err != nil || out.Hash != hash || out.Size != schema.Size {
		t.Errorf("raw/%s: %v, %+v, want %s and records of %d", view, err, out, hash, schema.Size)
	}
	for line := range strings.Lines(read(t, control+"json/"+view+".json")) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || len(record) == 0 {
			t.Errorf("json/%s.json: %v: %q", view, err, line)
		}
	}
	read(t, control+"prom/"+view+".prom")
}

// treeFiles are the files of a view in tree/.
func treeFiles(t *testing.T, c *cgroup, view string) (paths []string) {
	t.Helper()
	for _, suffix := range []string{"", ".json", ".prom", ".raw"} {
		if path := c.mirror + "/.bpfview/tree/" + view + suffix; exists(path) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Errorf("%s has no trees", view)
	}
	return paths
}
