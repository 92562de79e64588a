package bpf

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

const suffix = ".bpf.o"

// objects gives every embedded object by its view's name.
func objects(t *testing.T) map[string]*ebpf.CollectionSpec {
	t.Helper()
	names, err := fs.Glob(Objects, "*"+suffix)
	if err != nil {
		t.Fatal(err)
	}
	specs := make(map[string]*ebpf.CollectionSpec)
	for _, name := range names {
		raw, err := Objects.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		specs[strings.TrimSuffix(name, suffix)] = spec
	}
	return specs
}

func TestEverySourceHasItsObject(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	specs := objects(t)
	sources := 0
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".bpf.c")
		if !ok {
			continue
		}
		sources++
		if specs[name] == nil {
			t.Errorf("%s has no object: make -C bpf", e.Name())
		}
	}
	if sources != len(specs) {
		t.Errorf("%d sources, %d objects", sources, len(specs))
	}
}

func TestProgramsAndSections(t *testing.T) {
	sections := map[string][]string{
		"":        {"iter/cgroup", "iter.s/cgroup", "iter/task_file", "iter/task_vma"},
		"___call": {"iter/task", "iter.s/task"},
		"___v1":   {"iter/task"},
		"___task": {"iter/task"},
		"___tree": {"iter/task"},
		"___walk": {"iter/task"},
	}
	for name, spec := range objects(t) {
		// bpftool and the kernel show 15 characters of a program's name.
		if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,14}$`).MatchString(name) || strings.Contains(name, "___") {
			t.Errorf("%s: not a view's name", name)
		}
		if spec.Programs[name] == nil {
			t.Errorf("%s: no program of that name", name)
		}
		for _, p := range spec.Programs {
			flavour, ok := strings.CutPrefix(p.Name, name)
			counts := strings.HasPrefix(p.SectionName, "tp_btf/") // for a stateful view
			if !counts && (!ok || !slices.Contains(sections[flavour], p.SectionName)) {
				t.Errorf("%s: program %s of section %s", name, p.Name, p.SectionName)
			}
			if p.License != "Dual BSD/GPL" {
				t.Errorf("%s: licence %q", name, p.License)
			}
		}
	}
}

// No path of the machine that built an object is in it.
func TestObjectsAreReproducible(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name := range objects(t) {
		raw, _ := Objects.ReadFile(name + suffix)
		for _, path := range []string{"/home/", "/root/", "/tmp/", "/usr/", here} {
			if bytes.Contains(raw, []byte(path)) {
				t.Errorf("%s: holds a path of %s", name, path)
			}
		}
	}
}

var memberTags = map[string]*regexp.Regexp{
	"key":      regexp.MustCompile(`^$`),
	"optional": regexp.MustCompile(`^$`),
	"total":    regexp.MustCompile(`^$`),
	"by":       regexp.MustCompile(`^$`),
	"add":      regexp.MustCompile(`^$`),
	"average":  regexp.MustCompile(`^$`),
	"kind":     regexp.MustCompile(`^(gauge|counter|histogram|address|cgroup)$`),
	"sum":      regexp.MustCompile(`^[a-z][a-z0-9_]*$`),
	"unit":     regexp.MustCompile(`^(ns|us|bytes|pages|ppm)$`),
	"help":     regexp.MustCompile(`^[^\n]{3,100}$`),
}

var programTags = map[string]*regexp.Regexp{
	"help":     memberTags["help"],
	"version":  regexp.MustCompile(`^[1-9][0-9]{0,3}$`),
	"order":    regexp.MustCompile(`^(self|descendants_pre|descendants_post|ancestors_up)$`),
	"requires": regexp.MustCompile(`^[a-z0-9_]+$`),
	"wants":    regexp.MustCompile(`^[a-z0-9_]+( [a-z0-9_]+)*$`),
	"encoded":  regexp.MustCompile(`^[a-z]+$`),
}

var units = map[string]string{"ns": "_nsec", "us": "_usec", "bytes": "_bytes", "pages": "_pages", "ppm": "_ppm"}

func TestRecords(t *testing.T) {
	records, helped := 0, 0
	for name, spec := range objects(t) {
		for typ, err := range spec.Types.All() {
			if err != nil {
				t.Fatal(err)
			}
			f, ok := typ.(*btf.Func)
			if !ok || len(f.Tags) == 0 {
				continue
			}
			if f.Name == name {
				if checkTags(t, name, programTags, f.Tags)["help"] != "" {
					helped++
				}
				continue
			}
			if !slices.Equal(f.Tags, []string{"bpfview:record"}) {
				t.Errorf("%s: function %s has tags %q", name, f.Name, f.Tags)
			}
			params := f.Type.(*btf.FuncProto).Params
			s, ok := btf.UnderlyingType(params[len(params)-1].Type.(*btf.Pointer).Target).(*btf.Struct)
			if !ok || s.Name != name+"_record" {
				t.Errorf("%s: writes records of %v", name, s)
				continue
			}
			records++
			checkMembers(t, name, s)
		}
	}
	if records < 2 {
		t.Errorf("%d record views", records)
	}
	if views := len(objects(t)); helped != views {
		t.Errorf("%d of %d views say what they show", helped, views)
	}
}

// dangling are words that mean another member or the view.
var dangling = regexp.MustCompile(`^(of|in|for) |\b(of|while|if|when) it\b|\b(of the kind|the next three)\b`)

func checkMembers(t *testing.T, view string, s *btf.Struct) {
	t.Helper()
	histograms, sums := make(map[string]bool), make(map[string]bool)
	for _, m := range s.Members {
		seen := checkTags(t, view+": member "+m.Name, memberTags, m.Tags)
		if seen["help"] == "" {
			t.Errorf("%s: member %s has no help", view, m.Name)
		}
		metric := slices.Contains([]string{"gauge", "counter", "histogram"}, seen["kind"]) && seen["sum"] == ""
		if metric && dangling.MatchString(seen["help"]) {
			t.Errorf("%s: the help of metric %s is read alone: %q", view, m.Name, seen["help"])
		}
		if unit := seen["unit"]; unit != "" && !strings.HasSuffix(m.Name, units[unit]) {
			t.Errorf("%s: member %s is in %s", view, m.Name, strconv.Quote(unit))
		}
		if seen["kind"] == "histogram" {
			histograms[m.Name] = true
		}
		if of := seen["sum"]; of != "" {
			sums[of] = true
		}
	}
	if !maps.Equal(histograms, sums) {
		t.Errorf("%s: histograms %v, sums of %v", view, histograms, sums)
	}
}

// checkTags gives the tags by name; all must be known and there once.
func checkTags(t *testing.T, where string, known map[string]*regexp.Regexp, tags []string) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	for _, tag := range tags {
		name, value, _ := strings.Cut(tag, ":")
		if known[name] == nil || !known[name].MatchString(value) {
			t.Errorf("%s: tag %q", where, tag)
		}
		if _, twice := seen[name]; twice {
			t.Errorf("%s: tag %s twice", where, name)
		}
		seen[name] = value
	}
	return seen
}
