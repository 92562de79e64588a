package panics

import (
	"fmt"
	"strings"
	"testing"
)

// recovered calls do, which panics.
func recovered(l *Log, logf func(string, ...any), do func()) (place string) {
	defer func() {
		if cause := recover(); cause != nil {
			place = l.Recovered(logf, "test", cause)
		}
	}()
	do()
	return "none"
}

func explicit() { panic("on purpose") }

func outside(list []int, at int) { _ = list[at] }

func TestRecovered(t *testing.T) {
	var lines []string
	logf := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	var l Log
	for i, test := range []struct {
		do   func()
		want string
	}{
		{explicit, "panics.explicit (panics_test.go:"},
		{func() { outside(nil, 7) }, "panics.outside (panics_test.go:"},
		{func() { var nothing *Log; nothing.seen.Clear() }, "panics_test.go:"},
	} {
		for range 3 {
			place := recovered(&l, logf, test.do)
			if !strings.Contains(place, test.want) && i < 2 {
				t.Errorf("place %q, want %q", place, test.want)
			}
		}
		if len(lines) != i+1 {
			t.Fatalf("%d lines after %d places: %q", len(lines), i+1, lines)
		}
		if !strings.Contains(lines[i], test.want) {
			t.Errorf("no stack of %q in %s", test.want, lines[i])
		}
	}
}
