package iter

import (
	"strings"
	"testing"
)

// rows gives a record view's text by column, in small letters.
func rows(t testing.TB, out string) (all []map[string]string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	names := strings.Fields(strings.ToLower(lines[0]))
	for _, line := range lines[1:] {
		values := strings.Fields(line)
		if len(values) != len(names) {
			t.Fatalf("%d names, %d values: %q and %q", len(names), len(values), lines[0], line)
		}
		row := make(map[string]string)
		for i := range names {
			row[names[i]] = values[i]
		}
		all = append(all, row)
	}
	return all
}
