package sources

import (
	"errors"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
)

func testLayer(place string, names ...string) layer {
	l := layer{files: make(map[string]*file)}
	for _, name := range names {
		f := &file{}
		name, f.masks = strings.CutSuffix(name, "=masks")
		if place != "" {
			f.path = place + "/" + name
		}
		l.files[name] = f
	}
	return l
}

func inWordsOf(src *Source) string {
	line := src.name + "=" + src.String()
	if src.masked != "" {
		line = src.name + "=masked " + src.masked
	}
	if src.settings != nil {
		line += "+" + src.settings.path
	}
	if src.proto != nil {
		line += "+" + src.proto.path
	}
	if src.hides != "" {
		line += ">" + src.hides
	}
	if src.err != nil {
		line += "!"
	}
	return line
}

func TestChoose(t *testing.T) {
	refused := testLayer("/open", "a.bpf.o", "b.yaml", "new.bpf.o")
	refused.err = errors.New("refused")
	for name, test := range map[string]struct {
		layers []layer
		want   string // view=object[+settings][>hidden source], by name
	}{
		"one place": {[]layer{testLayer("", "a.bpf.o", "b.bpf.o")},
			"a=built in b=built in"},
		"later wins": {[]layer{testLayer("", "a.bpf.o"), testLayer("/1", "a.bpf.o"),
			testLayer("/2", "a.bpf.o")}, "a=/2/a.bpf.o>/1/a.bpf.o"},
		"settings beside": {[]layer{testLayer("/1", "a.bpf.o", "a.yaml")},
			"a=/1/a.bpf.o+/1/a.yaml"},
		"settings later": {[]layer{testLayer("", "a.bpf.o"), testLayer("/1", "a.yaml"),
			testLayer("/2", "a.yaml")}, "a=built in+/2/a.yaml"},
		"settings of the loser": {[]layer{testLayer("/1", "a.bpf.o", "a.yaml"),
			testLayer("/2", "a.bpf.o")}, "a=/2/a.bpf.o>/1/a.bpf.o"},
		"schema beside": {[]layer{testLayer("/1", "a.bpf.o", "a.proto"), testLayer("/2", "a.proto", "b.proto")},
			"a=/1/a.bpf.o+/1/a.proto"},
		"schema of the loser": {[]layer{testLayer("/1", "a.bpf.o", "a.proto"), testLayer("/2", "a.bpf.o")},
			"a=/2/a.bpf.o>/1/a.bpf.o"},
		"settings alone": {[]layer{testLayer("/1", "a.yaml")}, "a=/1/a.yaml+/1/a.yaml"},
		"masked": {[]layer{testLayer("", "a.bpf.o"), testLayer("/1", "a.bpf.o=masks")},
			"a=masked /1/a.bpf.o"},
		"masked, then not": {[]layer{testLayer("/1", "a.bpf.o=masks"),
			testLayer("/2", "a.bpf.o")}, "a=/2/a.bpf.o"},
		"settings masked": {[]layer{testLayer("/1", "a.bpf.o", "a.yaml"),
			testLayer("/2", "a.yaml=masks")}, "a=/1/a.bpf.o"},
		"nothing masked": {[]layer{testLayer("/1", "a.yaml=masks")}, ""},
		"refused": {[]layer{testLayer("", "a.bpf.o", "b.bpf.o"), refused},
			"a=built in b=built in new=/open/new.bpf.o!"},
		"refused first": {[]layer{refused, testLayer("/1", "a.bpf.o")},
			"a=/1/a.bpf.o b=/open/b.yaml+/open/b.yaml! new=/open/new.bpf.o!"},
	} {
		var got []string
		for _, src := range choose(test.layers) {
			got = append(got, inWordsOf(src))
		}
		ktest.Words(t, name, got, test.want)
	}
}

// A pin claims its name from the views directories.
func TestClaim(t *testing.T) {
	refused := testLayer("/open", "a.bpf.o=masks", "b.yaml", "c.bpf.o")
	refused.err = errors.New("refused")
	found := choose([]layer{refused, testLayer("/1", "d.bpf.o=masks", "e.yaml", "f.bpf.o", "f.yaml")})
	var got []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		(&Pin{Name: name, Path: "/pins/" + name}).claim(found)
		got = append(got, inWordsOf(found[name]))
	}
	ktest.Words(t, "refused, then trusted", got,
		"a=/pins/a b=/pins/b c=/pins/c d=masked /1/d.bpf.o e=/pins/e+/1/e.yaml f=/pins/f>/1/f.bpf.o")
}
