package exporter

import (
	"bytes"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/labels"
)

var (
	unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
	escape   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
)

// added are the labels that a cgroup's path tells, as they are written.
type added struct {
	begins [][]byte // ,NAME=" of each
	each   []string
	all    string
}

// newAdded takes the path as it is in a label.
func newAdded(path string) *added {
	a := new(added)
	labels.Of(unescape.Replace(path)).Each(func(name, value string) {
		begin := "," + name + `="`
		a.begins = append(a.begins, []byte(begin))
		a.each = append(a.each, begin+escape.Replace(value)+`"`)
	})
	a.all = strings.Join(a.each, "")
	return a
}

// without returns the labels that a sample does not have already, because a view may have a member of such a
// name. sample is the text after the label cgroup. A quote inside a value is escaped, so each match is a label.
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
func (w *writer) comment(line []byte) error {
	word, rest, _ := bytes.Cut(bytes.TrimSuffix(line[2:], []byte{'\n'}), []byte{' '})
	name, value, _ := bytes.Cut(rest, []byte{' '})
	switch string(word) {
	case "HELP":
		w.help = append(w.help[:0], value...)
		return nil
	case "TYPE":
		w.counter = string(value) == "counter"
		family := w.family(name)
		var out []byte
		if len(w.help) > 0 {
			out = append(append(append(out, "# HELP "...), family...), ' ')
			out = append(append(out, bytes.ReplaceAll(w.help, []byte{'"'}, []byte(`\"`))...), '\n')
		}
		out = append(append(append(out, "# TYPE "...), family...), ' ')
		w.help = w.help[:0]
		return w.flush(append(append(out, value...), '\n'))
	case "UNIT":
		return w.flush([]byte("# UNIT " + string(w.family(name)) + " " + string(value) + "\n"))
	}
	return nil
}

func (w *writer) family(name []byte) []byte {
	if w.counter {
		return bytes.TrimSuffix(name, []byte("_total"))
	}
	return name
}
