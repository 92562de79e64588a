package labels

import (
	"os"
	"strings"
	"testing"
)

func shown(l Labels) string {
	var all []string
	l.Each(func(name, value string) { all = append(all, name+"="+value) })
	return strings.Join(all, " ")
}

func TestOf(t *testing.T) {
	text, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		path, want, _ := strings.Cut(line, "\t")
		if got := shown(Of(path)); got != want {
			t.Errorf("%s\n got %s\nwant %s", path, got, want)
		}
		n++
	}
	if n < 50 {
		t.Errorf("%d paths", n)
	}
}

// FuzzOf: whatever a path is, each label is a part of it, apart from dashes and the class of a pod.
func FuzzOf(f *testing.F) {
	text, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		path, _, _ := strings.Cut(line, "\t")
		f.Add(path)
	}
	dashes := strings.NewReplacer(`\x2d`, "-", "_", "-")
	f.Fuzz(func(t *testing.T, path string) {
		l := Of(path)
		for _, part := range []string{l.Slice, l.Unit, l.PodUID, l.ContainerID} {
			if !strings.Contains(path, part) &&
				!strings.Contains(dashes.Replace(path), dashes.Replace(part)) {
				t.Errorf("%q tells %q", path, part)
			}
		}
		if (l.PodUID == "") != (l.QoS == "") || l.Runtime != "" && l.ContainerID == "" {
			t.Errorf("%q tells %+v", path, l)
		}
	})
}
