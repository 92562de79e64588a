package exporter

import (
	"bytes"
	"strings"
	"sync"

	"bpfviewfs/cmd/bpfviewfs/labels"
)

var (
	unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
	escape   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
)

// added are the labels that a cgroup's path tells, as they are written.
type added struct {
	whole  string   // the path as it is written, a quote, and all labels
	path   string   // the begin of whole
	all    string   // the end of whole
	begins [][]byte // ,NAME=" of each
	each   []string
}

// newAdded takes the path as it is written.
func newAdded(path string) *added {
	a := new(added)
	labels.Of(unescape.Replace(path)).Each(func(name, value string) {
		begin := "," + name + `="`
		a.begins = append(a.begins, []byte(begin))
		a.each = append(a.each, begin+escape.Replace(value)+`"`)
	})
	a.whole = path + `"` + strings.Join(a.each, "")
	a.path, a.all = a.whole[:len(path)], a.whole[len(path)+1:]
	return a
}

// paths keeps the labels of the paths that were asked for last, at most twice maxPaths. To find them anew for
// each page took a third of its time. Safe for use by many goroutines.
type paths struct {
	mu            sync.Mutex
	newer, former map[string]*added
}

const maxPaths = 16 << 10

// of returns the labels of a path as it is written.
func (p *paths) of(path []byte) *added {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.newer[string(path)]
	if a != nil {
		return a
	}
	if a = p.former[string(path)]; a == nil {
		a = newAdded(string(path))
	}
	if len(p.newer) == maxPaths || p.newer == nil {
		p.newer, p.former = make(map[string]*added), p.newer
	}
	p.newer[a.path] = a
	return a
}

// without returns the labels that a sample does not have already, because a view may have a member of such a
// name. sample is the text after the label cgroup. A quote inside a value is escaped, so each match is a
// label.
func (a *added) without(sample []byte) string {
	var left []string
	for i, begin := range a.begins {
		if bytes.Contains(sample, begin) {
			left = append(left[:0:0], a.each[:i]...)
			for k := i; k < len(a.each); k++ {
				if !bytes.Contains(sample, a.begins[k]) {
					left = append(left, a.each[k])
				}
			}
			return strings.Join(left, "")
		}
	}
	return a.all
}

// comment writes a comment for OpenMetrics. There the name of a family is without the _total of its counters,
// and the type decides about that, so the help waits for it.
func (w *writer) comment(line []byte) {
	word, rest, _ := bytes.Cut(bytes.TrimSuffix(line[2:], []byte{'\n'}), []byte{' '})
	name, value, _ := bytes.Cut(rest, []byte{' '})
	switch string(word) {
	case "HELP":
		w.help = append(w.help[:0], value...)
	case "TYPE":
		w.counter = string(value) == "counter"
		if len(w.help) > 0 {
			w.addComment("# HELP ", name, bytes.ReplaceAll(w.help, []byte{'"'}, []byte(`\"`)))
		}
		w.help = w.help[:0]
		w.addComment("# TYPE ", name, value)
	case "UNIT":
		w.addComment("# UNIT ", name, value)
	}
}

func (w *writer) addComment(word string, name, value []byte) {
	if w.counter {
		name = bytes.TrimSuffix(name, []byte("_total"))
	}
	w.buf = append(append(append(w.buf, word...), name...), ' ')
	w.buf = append(append(w.buf, value...), '\n')
}
