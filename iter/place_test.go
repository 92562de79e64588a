package iter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
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
		{"/system.slice/*.service", "system.slice/a.service", "system.slice a.service system.slice/a.service/b"},
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
			}
		}
		if v.Everywhere() != (len(where) == 3 && v.settings.Match == nil) {
			t.Errorf("%s: everywhere: %v", what, v.Everywhere())
		}
	}
	checkIn("any", &View{}, h.String(), outer, inner)
	checkIn("match", &View{settings: sources.Settings{Match: []string{"*"}}}, outer)
	checkIn("match top", &View{settings: sources.Settings{Match: []string{"", filepath.Base(outer) + "/in?ner"}}}, h.String(), inner)
	checkIn("match all", &View{settings: sources.Settings{Match: []string{"**"}}}, h.String(), outer, inner)
	checkIn("requires", &View{settings: sources.Settings{Requires: []string{"nonsense"}}})

	t.Run("v1", func(t *testing.T) {
		v1 := testHierarchy(t, ktest.V1(t))
		v := &View{settings: sources.Settings{Requires: []string{"cpu"}}, set: &Set{hierarchy: v1}}
		if err := v.In(v1.Root()); err == nil || !strings.Contains(err.Error(), "cgroup v1") {
			t.Errorf("on cgroup v1: %v", err)
		}
	})

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
