package requests

import "testing"

func TestHeaderOf(t *testing.T) {
	for _, test := range []struct {
		frame, all string
		header     int
	}{
		{"", "1\n", 0}, {"A\n", "A\n1\n", 2}, {"end\n", "1\nend\n", 0}, {"A\nB\nend\n", "A\nB\n1\nend\n", 4},
		{"A\nend", "A\nend", 5}, {"A\nend", "A\n1\nend", 2}, {"A\n", "1\n", -1}, {"A\n", "", -1},
		{"1 of 2\n", "2 of 3\n", -1},
	} {
		header, ok := headerOf([]byte(test.frame), []byte(test.all))
		if ok != (test.header >= 0) || ok && header != test.header {
			t.Errorf("%q in %q: %d, %t, want %d", test.frame, test.all, header, ok, test.header)
		}
	}
}
