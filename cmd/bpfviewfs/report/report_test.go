package report

import (
	"strings"
	"testing"
	"time"
)

// Mount points have any bytes, and the table's columns stand all the same.
func TestPrintNames(t *testing.T) {
	for name, shown := range map[string]string{"/run/view": "/run/view", "/run/\xff": `/run/\xff`,
		"/a\n\tb": `/a\x0a\x09b`} {
		var out strings.Builder
		s := Mount{Target: name, Source: name, Error: name, Server: new(Server)}
		if err := s.Print(&out, time.Time{}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(out.String(), "\n")
		want := []string{shown + " shows " + shown, "  error    " + shown, "  version  "}
		for i, line := range want {
			if lines[i] != line {
				t.Errorf("%q: line %q, want %q", name, lines[i], line)
			}
		}
	}
}
