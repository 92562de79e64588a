package iter

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/readers"
	"bpfviewfs/internal/testenv"
	rawreader "bpfviewfs/iter/raw"
	"bpfviewfs/iter/records"
)

// Every built-in view, in every rendering and as a tree, over processes whose threads do not share all, or
// have ended. Other programs read each page, no sample is there twice, and no two rows are the same.
func TestEveryRenderingOverZoo(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "runqlat", "reclaim")
	top := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	zoo, alone := ktest.Cgroup(t, top, "zoo"), ktest.Cgroup(t, top, "alone")
	for _, kind := range ktest.Animals {
		ktest.StartAnimal(t, zoo, kind)
	}
	ktest.StartAnimal(t, alone, "headless+pair")
	pages := make(map[records.Format][]byte) // of all views together, for programs that take a while to start
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
		}
	}
	for program, page := range map[string][]byte{"jq": pages[records.JSON],
		"promtool": pages[records.Prom]} {
		if !testenv.Has(t, program) {
			continue
		}
		cmd := exec.Command("promtool", "check", "metrics")
		if program == "jq" {
			cmd = exec.Command("jq", "-e", "type == \"object\"")
		}
		cmd.Stdin = bytes.NewReader(page)
		out, err := cmd.CombinedOutput()
		if err != nil || program == "promtool" && len(out) > 0 ||
			bytes.Contains(out, []byte("false")) {
			t.Errorf("%s says %v: %.2000s", program, err, out)
		}
	}
	if rows := bytes.Count(pages[records.JSON], []byte("\n")); rows < 100 {
		t.Errorf("the zoo has only %d rows", rows)
	}
}

// checkPage reads a page as a program of another author does.
func checkPage(t *testing.T, v *View, f records.Format, tree bool, page []byte) {
	t.Helper()
	switch f {
	case records.Prom:
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
