package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/readers"
	"bpfviewfs/mount"
	dto "github.com/prometheus/client_model/go"
)

// TestTextfile holds that pages for collectors have no label that grows with processes, and the right totals.
func TestTextfile(t *testing.T) {
	dir := mountDir(t, "cgroup2", everything, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	child := c.child("a")
	stop(t, child.sleep(2))
	c.sleep(1)
	pages, err := filepath.Glob(c.mirror + "/.bpfview/textfile/*.prom")
	if err != nil || len(pages) < 9 {
		t.Fatalf("%q (%v)", pages, err)
	}
	families := make(map[string]*dto.MetricFamily)
	for _, page := range pages {
		text := read(t, page)
		for name, family := range readers.Prom(t, []byte(text)) {
			families[name] = family
		}
		if n := strings.Count(text, `{cgroup="/a"`); n > mount.DefaultMaxSeries/10000 {
			t.Errorf("%s has %d samples of one cgroup: 10,000 cgroups are above max_series=", page, n)
		}
	}
	// Each label here has a bounded number of values, whatever processes do.
	bounded := regexp.MustCompile(`^(cgroup|resource|kind|state|type|protocol)$`)
	for name, family := range families {
		if strings.Contains(name, "_avg") {
			t.Errorf("%s is an average over time", name)
		}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				if !bounded.MatchString(l.GetName()) {
					t.Fatalf("%s has the label %s", name, l.GetName())
				}
			}
		}
	}
	value := func(name string, labels ...string) float64 {
		t.Helper()
		sum, found := 0.0, false
	samples:
		for _, m := range families[name].GetMetric() {
			has := make(map[string]string)
			for _, l := range m.Label {
				has[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if has[labels[i]] != labels[i+1] {
					continue samples
				}
			}
			sum, found = sum+m.GetGauge().GetValue(), true
		}
		if !found {
			t.Errorf("no sample of %s with %q", name, labels)
		}
		return sum
	}
	threads := func(of *cgroup) float64 {
		return float64(strings.Count(read(t, of.path+"/cgroup.threads"), "\n"))
	}
	for _, test := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{threads(child), "bpfview_tasks", []string{"cgroup", "/a", "state", "T"}},
		{threads(c), "bpfview_tasks", []string{"cgroup", "/"}},
		{1, "bpfview_processes", []string{"cgroup", "/a"}},
		{1, "bpfview_processes", []string{"cgroup", "/"}},
	} {
		if got := value(test.name, test.labels...); got != test.want {
			t.Errorf("%s of %q is %v, want %v", test.name, test.labels, got, test.want)
		}
	}
	rows := func(view string) (n int, size float64) {
		lines := strings.Split(strings.TrimSpace(read(t, c.mirror+"/a/.bpfview/json/"+view+".json")),
			"\n")
		for _, line := range lines {
			var bytes float64
			if _, after, ok := strings.Cut(line, `"size_bytes":`); ok {
				fmt.Sscan(strings.TrimRight(strings.SplitN(after, ",", 2)[0], "}"), &bytes)
			}
			size += bytes
		}
		return len(lines), size
	}
	if n, _ := rows("files"); value("bpfview_files", "cgroup", "/a") != float64(n) || n == 0 {
		t.Errorf("%v open files, want %d", value("bpfview_files", "cgroup", "/a"), n)
	}
	if _, size := rows("maps"); value("bpfview_maps_size_bytes", "cgroup", "/a") != size || size == 0 {
		t.Errorf("%v mapped bytes, want %v", value("bpfview_maps_size_bytes", "cgroup", "/a"), size)
	}
}

// TestMaxSeries holds that a page is whole or an error with the remedy. The setting "metrics" goes first.
func TestMaxSeries(t *testing.T) {
	views := t.TempDir()
	settings := map[string]string{
		"psi.yaml": "metrics: totals\n", "files.yaml": "metrics: none\n",
		"tasks.yaml": "metrics: rows\n", "processes.yaml": "metrics: rows\n",
	}
	for name, text := range settings {
		if err := os.WriteFile(views+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := mountDir(t, "cgroup2", "max_series=30", "views="+views, "registry="+newRegistry(t))
	c := newCgroup(t, dir)
	stop(t, c.sleep(20))
	page := c.mirror + "/.bpfview/textfile/"
	if _, err := os.ReadFile(page + "tasks.prom"); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("21 threads have more than 30 samples: %v", err)
	}
	for file, want := range map[string]string{
		dir + "/.bpfview/errors":  "textfile/tasks.prom",
		dir + "/.bpfview/metrics": `bpfviewfs_run_too_long_total{view="tasks"} 1`,
	} {
		if text := read(t, file); !strings.Contains(text, want) {
			t.Errorf("%s has no %q:\n%s", file, want, text)
		}
	}
	if text := read(t, dir+"/.bpfview/errors"); !strings.Contains(text,
		"more than 30 samples: mount with a larger max_series=") {
		t.Errorf("errors: %s", text)
	}
	if text := read(t, c.mirror+"/.bpfview/tree/tasks.prom"); strings.Count(text, "\n") < 60 {
		t.Errorf("the bound holds for other pages:\n%s", text)
	}
	if text := read(t, page+"psi.prom"); !strings.Contains(text, "\nbpfview_psi{cgroup=\"/\"} ") ||
		strings.Contains(text, "seconds") {
		t.Errorf("psi has no totals:\n%s", text)
	}
	if exists(page + "files.prom") {
		t.Error("files has a page")
	}
	if text := read(t, page+"processes.prom"); !strings.Contains(text, `{cgroup="/",pid="`) {
		t.Errorf("processes has no rows:\n%s", text)
	}
	// A view without records has no metrics.
	if err := os.WriteFile(views+"/cgroup.yaml", []byte("metrics: totals\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a text view with metrics is absent", func() bool {
		return strings.Contains(rowOf(t, dir, "cgroup"),
			"metrics: totals: its output is no records but text")
	})
	out, err := exec.Command(command, "views", "-o", "views="+views).CombinedOutput()
	if !strings.Contains(string(out), "metrics: totals: its output is no records but text") {
		t.Errorf("bpfviewfs views: %v\n%s", err, out)
	}
}
