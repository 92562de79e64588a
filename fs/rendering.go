package fs

import "strings"

// Rendering is a form of a view's output. Every rendering but [Plain] is a file below .bpfview.
type Rendering uint8

// The numbers are part of node ids, which outlive a server. Add new ones at the end, and new directories at
// the end of controlDirs.
const (
	Plain    Rendering = iota // VIEW itself: text, or the bytes of an encoded view
	JSON                      // .bpfview/json/VIEW.json: one object a line
	Prom                      // .bpfview/prom/VIEW.prom: Prometheus text
	Raw                       // .bpfview/raw/VIEW: structs behind a header
	Schema                    // .bpfview/schema/VIEW.json: a description of the structs
	Tree                      // .bpfview/tree/VIEW: the cgroup and all below it
	TreeJSON                  // .bpfview/tree/VIEW.json
	TreeProm                  // .bpfview/tree/VIEW.prom
	TreeRaw                   // .bpfview/tree/VIEW.raw
	Textfile                  // .bpfview/textfile/VIEW.prom, a tree for collectors
	All                       // .bpfview/all/VIEW+VIEW: several views at one time, see union
	AllJSON                   // .bpfview/all/VIEW+VIEW.json
	AllProm                   // .bpfview/all/VIEW+VIEW.prom
	AllRaw                    // .bpfview/all/VIEW+VIEW.raw
	Proto                     // .bpfview/schema/VIEW.proto: a description of an encoded view's bytes
)

var renderings = [...]struct {
	dir, suffix string
	tree        bool // about the cgroup and all below it
}{
	Plain:    {},
	JSON:     {"json", ".json", false},
	Prom:     {"prom", ".prom", false},
	Raw:      {"raw", "", false},
	Schema:   {"schema", ".json", false},
	Tree:     {"tree", "", true},
	TreeJSON: {"tree", ".json", true},
	TreeProm: {"tree", ".prom", true},
	TreeRaw:  {"tree", ".raw", true},
	Textfile: {"textfile", ".prom", true},
	All:      {allDir, "", false},
	AllJSON:  {allDir, ".json", false},
	AllProm:  {allDir, ".prom", false},
	AllRaw:   {allDir, ".raw", false},
	Proto:    {"schema", ".proto", false},
}

// allDir is the directory of unions for one cgroup. They are opened by name and never listed.
const allDir = "all"

func (r Rendering) isTree() bool { return renderings[r].tree }

// ofUnions reports whether unions have the rendering.
func (r Rendering) ofUnions() bool { return renderings[r].dir == "tree" || renderings[r].dir == allDir }

// fileName is the name of a view's file in the rendering's directory.
func (r Rendering) fileName(view string) string { return view + renderings[r].suffix }

// renderedAs finds the view and the rendering of a file in a control directory. No view's name has a dot.
func renderedAs(dir, name string) (view string, r Rendering, ok bool) {
	view, _, _ = strings.Cut(name, ".")
	for r := range Rendering(len(renderings)) {
		if r != Plain && renderings[r].dir == dir && r.fileName(view) == name {
			return view, r, true
		}
	}
	return "", 0, false
}
