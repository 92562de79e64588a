package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
)

// TestPromtool has Prometheus' own linter look at every page of a cgroup and of a tree.
func TestPromtool(t *testing.T) {
	testenv.Needs(t, "promtool")
	dir := mountDir(t, "cgroup2", everything, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	c.child("a \"b\"\\c").sleep(2)
	c.sleep(1)
	pages, err := filepath.Glob(c.mirror + "/.bpfview/prom/*.prom")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages (%v)", len(pages), err)
	}
	pages = append(pages, c.mirror+"/.bpfview/all/all.prom")
	for _, page := range pages {
		name := filepath.Base(page)
		if name == "all.prom" { // a union, which is not in textfile
			name = "cpu.prom"
		}
		for _, page := range []string{page, c.mirror + "/.bpfview/tree/" + name,
			c.mirror + "/.bpfview/textfile/" + name} {
			f, err := os.Open(page)
			if err != nil {
				t.Error(err)
				continue
			}
			check := exec.Command("promtool", "check", "metrics")
			check.Stdin = f
			if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", page, err, out)
			}
			f.Close()
		}
	}
}

// TestNodeExporter has a node_exporter collect the metrics of all cgroups of a mount, as a user of a group
// that may read them.
func TestNodeExporter(t *testing.T) {
	testenv.Needs(t, "prometheus-node-exporter")
	c := newCgroup(t, "")
	dir := mountDir(t, c.path, everything, "registry="+newRegistry(t), "gid=12")
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	unit := c.child("web.service")
	stop(t, unit.sleep(2))
	threads := fmt.Sprint(strings.Count(read(t, unit.path+"/cgroup.threads"), "\n"))
	page := string(readers.NodeExporter(t, dir+"/.bpfview/textfile", 12))
	for _, want := range []string{
		"\nbpfview_cpu_usage_seconds_total{cgroup=\"/\"} ",
		"\n# TYPE bpfview_runqlat_wait_seconds histogram\n",
		"\nbpfview_tasks{cgroup=\"/web.service\",state=\"T\"} " + threads + "\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q among what it serves", want)
		}
	}
	for _, view := range builtin(t) {
		if exists(dir+"/.bpfview/textfile/"+view+".prom") && !strings.Contains(page, "/"+view+".prom\"}") {
			t.Errorf("it did not read %s.prom", view)
		}
	}
}
