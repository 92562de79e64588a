package iter

import (
	"strings"
	"testing"
)

// rows gives the text of a record view by column, in small letters. The last may hold spaces.
func rows(t testing.TB, out string) (all []map[string]string) {
	t.Helper()
	header, rest, ok := strings.Cut(out, "\n")
	names := strings.Fields(strings.ToLower(header))
	if !ok || len(names) == 0 {
		t.Fatalf("no header: %q", out)
	}
	for line := range strings.Lines(rest) {
		row := make(map[string]string)
		for i, name := range names {
			line = strings.TrimLeft(line, " ")
			end := strings.IndexAny(line, " \n")
			if i == len(names)-1 {
				end = strings.IndexByte(line, '\n')
			}
			if end < 1 {
				t.Fatalf("no column %s: %q", name, out)
			}
			row[name], line = line[:end], line[end:]
		}
		all = append(all, row)
	}
	return all
}
