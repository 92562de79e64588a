package iter

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/mounttest"
	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
	rawreader "bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
)

// Every built-in view, in every rendering and as a tree, over processes whose threads do not share all, or
// have ended. Other programs read each page, no sample is there twice, and no two rows are the same.
func TestEveryRenderingOverZoo(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "runqlat", "reclaim", "taskspb")
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	zoo, alone := ktest.Cgroup(t, top, "zoo"), ktest.Cgroup(t, top, "alone")
	for _, kind := range ktest.Animals {
		ktest.StartAnimal(t, zoo, kind)
	}
	ktest.StartAnimal(t, alone, "headless+pair")
	pages := make(map[records.Format][]byte) // of all views together, for programs that take a while to start
	collected := mounttest.TempDir(t)
	for name, v := range views {
		for _, f := range v.Formats() {
			for _, dir := range []string{zoo, alone} {
				page, err := v.Render(context.Background(), f, ktest.CgroupID(t, dir), nil)
				if err != nil {
					t.Errorf("%s as %s: %v", name, f, err)
				}
				checkPage(t, v, f, false, page)
			}
		}
		for _, f := range v.TreeFormats() {
			page, err := v.Tree(context.Background(), f, ktest.CgroupID(t, top), nil, nil)
			if err != nil {
				t.Errorf("tree of %s as %s: %v", name, f, err)
			}
			checkPage(t, v, f, true, page)
			pages[f] = append(pages[f], page...)
			if f == records.Textfile {
				write(t, filepath.Join(collected, name+".prom"), page)
			}
		}
	}
	if testenv.Has(t, "prometheus-node-exporter") {
		checkCollector(t, collected, pages[records.Textfile])
	}
	for f, words := range map[records.Format][]string{
		records.JSON: {"jq", "select(type != \"object\")"},
		records.Prom: {"promtool", "check", "metrics"}, records.Textfile: {"promtool", "check", "metrics"},
	} {
		if !testenv.Has(t, words[0]) {
			continue
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdin = bytes.NewReader(pages[f])
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s says of %s: %v, %.2000s", words[0], f, err, out)
		}
	}
	if rows := bytes.Count(pages[records.JSON], []byte("\n")); rows < 100 {
		t.Errorf("the zoo has only %d rows", rows)
	}
}

// checkCollector has a node_exporter serve the pages in a directory. It must serve each sample of page, which is
// all of them together, and no other.
func checkCollector(t *testing.T, dir string, page []byte) {
	t.Helper()
	served := readers.NodeExporter(t, dir, 0)
	got := readers.Prom(t, served)
	for name, want := range readers.Prom(t, page) {
		if a, b := got[name].GetMetric(), want.Metric; len(a) != len(b) ||
			got[name].GetType() != want.GetType() || got[name].GetHelp() != want.GetHelp() {
			t.Errorf("node_exporter serves %d samples of %s of %d: %v", len(a), name, len(b), got[name])
		}
		delete(got, name)
	}
	for name := range got {
		if strings.HasPrefix(name, "bpfview_") {
			t.Errorf("node_exporter serves %s, which is in no page", name)
		}
	}
}

// checkPage reads a page as a program of another author does.
func checkPage(t *testing.T, v *View, f records.Format, tree bool, page []byte) {
	t.Helper()
	switch f {
	case records.Prom, records.Textfile:
		for name, family := range readers.Prom(t, page) {
			for _, m := range family.Metric {
				for _, l := range m.Label {
					if l.GetName() == "record" {
						t.Errorf("%s: two rows of %s are the same: %v",
							v.Name(), name, m.Label)
					}
				}
			}
		}
	case records.JSON:
		seen := make(map[string]bool)
		for line := range strings.Lines(string(page)) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: no JSON: %s", v.Name(), line)
			}
			if seen[line] {
				t.Errorf("%s: twice: %s", v.Name(), line)
			}
			seen[line] = true
		}
	case records.Raw:
		if v.Kind() == "encoded" && !tree { // its bytes alone
			return
		}
		o, err := rawreader.Parse(page)
		if err != nil || o.Tree != tree || o.Hash != v.Hash() && v.Kind() == "record" {
			t.Errorf("raw of %s: %+v, %v", v.Name(), o, err)
		}
	}
}
