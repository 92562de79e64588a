package iter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/bpf"
	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/cgroups"
	"bpfviewfs/iter/sources"
	"golang.org/x/sys/unix"
)

func TestGlobs(t *testing.T) {
	for _, test := range []struct {
		glob, fits, fitsNot string // paths, separated by spaces; "/" is the top
	}{
		{"/", "/", "a a/b"},
		{"*", "a a.slice", "/ a/b"},
		{"**", "/ a a/b a/b/c", ""},
		{"/system.slice/*.service", "system.slice/a.service",
			"system.slice a.service system.slice/a.service/b"},
		{"system.slice/**", "system.slice system.slice/a system.slice/a/b", "/ user.slice"},
		{"system.slice/*/**", "system.slice/a system.slice/a/b", "system.slice"},
		{"**/docker-*.scope/", "docker-1.scope a/b/docker-1.scope", "docker-1.scope/a"},
		{"{a,b}.slice", "a.slice b.slice", "c.slice"},
		{"[ab]?", "ax bx", "a cx"},
		{`dev-disk\\x2d1.swap`, `dev-disk\x2d1.swap`, "dev-diskx2d1.swap"},
	} {
		s, err := sources.ParseSettings([]byte("match: ['" + test.glob + "']"))
		if err != nil {
			t.Error(err)
			continue
		}
		check := func(paths string, want bool) {
			for _, path := range strings.Fields(paths) {
				if got := fits(s.Match[0], strings.Trim(path, "/")); got != want {
					t.Errorf("%s fits %s: %v", test.glob, path, got)
				}
			}
		}
		check(test.fits, true)
		check(test.fitsNot, false)
	}
}

func TestIn(t *testing.T) {
	h := testHierarchy(t, "")
	outer := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	inner := ktest.Cgroup(t, outer, "in\xffner")
	in := func(v *View, dir string) error {
		v.name, v.set = "v", &Set{hierarchy: h}
		v.requires = v.settings.Requires
		return v.In(ktest.CgroupID(t, dir))
	}
	checkIn := func(what string, v *View, where ...string) {
		t.Helper()
		for _, dir := range []string{h.String(), outer, inner} {
			err := in(v, dir)
			if slices.Contains(where, dir) && err != nil {
				t.Errorf("%s in %s: %v", what, dir, err)
			}
			if !slices.Contains(where, dir) {
				ktest.Errno(t, what+" in "+dir, err, unix.ENOENT)
				if err != nil && strings.Contains(err.Error(), unix.ENOENT.Error()) {
					t.Errorf("%s: the reason ends with words of an errno: %v", what, err)
				}
			}
		}
		if v.Everywhere() != (len(where) == 3 && v.settings.Match == nil) {
			t.Errorf("%s: everywhere: %v", what, v.Everywhere())
		}
	}
	checkIn("any", &View{}, h.String(), outer, inner)
	checkIn("match", &View{settings: sources.Settings{Match: []string{"*"}}}, outer)
	checkIn("match top",
		&View{settings: sources.Settings{Match: []string{"", filepath.Base(outer) + "/in?ner"}}},
		h.String(), inner)
	checkIn("match all", &View{settings: sources.Settings{Match: []string{"**"}}}, h.String(),
		outer, inner)
	checkIn("requires", &View{settings: sources.Settings{Requires: []string{"nonsense"}}})

	raw, err := os.ReadFile(filepath.Join(h.String(), "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	enabled := strings.Fields(string(raw))
	if err := in(&View{settings: sources.Settings{Requires: enabled}}, h.String()); err != nil {
		t.Errorf("requires %v: %v", enabled, err)
	}
	deep := &View{settings: sources.Settings{Match: []string{"**"}}, name: "v", set: &Set{hierarchy: h}}
	ktest.Errno(t, "a path above PATH_MAX", deep.In(longNames(t, outer, 17)), unix.ENOENT)
	if err := os.Remove(inner); err != nil {
		t.Fatal(err)
	}
}

// A view that requires a controller of another hierarchy is absent, and says where that is. If the controller
// is not enabled in a cgroup, the view is absent there.
func TestRequires(t *testing.T) {
	v2, v1 := testHierarchy(t, ""), testHierarchy(t, ktest.V1(t))
	memory := memoryHierarchy(t)
	absent := func(h *cgroups.Hierarchy, name string, words ...string) {
		t.Helper()
		s, err := Open(h, Config{Builtin: bpf.Objects})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, v := range s.Views() {
			if v.Name() != name {
				continue
			}
			ktest.Errno(t, name, v.Err(), unix.ENOENT)
			for _, word := range words {
				if v.Err() != nil && !strings.Contains(v.Err().Error(), word) {
					t.Errorf("no %q in %v", word, v.Err())
				}
			}
		}
	}
	absent(v1, "psi", "cgroup v1", "bpfviewfs mount cgroup2 ")
	if memory.V1() {
		where := "bpfviewfs mount " + memory.String() + " "
		absent(v1, "memory", "controller memory", where)
		absent(v2, "memory", "controller memory", where)
		if v := testViews(t, memory, Options{})["memory"]; v == nil || v.In(memory.Root()) != nil {
			t.Error("memory is not where its controller is")
		}
	} else {
		absent(v1, "memory", "controller memory", "bpfviewfs mount cgroup2 ")
	}
	unknown := &View{name: "v", set: &Set{hierarchy: v2}}
	if err := unknown.require([]string{"none_such"}); err == nil ||
		!strings.Contains(err.Error(), "no controller none_such") {
		t.Errorf("a controller that no kernel has: %v", err)
	}

	raw, err := os.ReadFile(filepath.Join(v2.String(), "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	outer := ktest.Cgroup(t, v2.String(), "bpfviewfs-test-*")
	inner := ktest.Cgroup(t, outer, "inner")
	for _, name := range strings.Fields(string(raw)) {
		if os.WriteFile(filepath.Join(v2.String(), "cgroup.subtree_control"),
			[]byte("+"+name), 0) != nil {
			continue // cpu, while real-time threads run
		}
		v := &View{name: "v", set: &Set{hierarchy: v2}}
		if err := v.require([]string{name}); err != nil || v.Everywhere() || v.chooses() {
			t.Fatalf("%s: %v", name, err)
		}
		if err := v.In(ktest.CgroupID(t, outer)); err != nil {
			t.Errorf("%s is enabled: %v", name, err)
		}
		err := v.In(ktest.CgroupID(t, inner))
		if ktest.Errno(t, name+" is not enabled", err, unix.ENOENT); err != nil &&
			!strings.Contains(err.Error(), "+"+name) {
			t.Errorf("%s: %v", name, err)
		}
		writeFile(t, outer, "cgroup.subtree_control", "+"+name)
		if err := v.In(ktest.CgroupID(t, inner)); err != nil {
			t.Errorf("%s is enabled now: %v", name, err)
		}
		return
	}
	t.Fatal("cgroup2 has no controller here")
}
