package readers

import (
	"strings"
	"testing"
)

// Unescape gives the text of a column of a text rendering.
func Unescape(t testing.TB, b []byte) (text []byte) {
	for len(b) > 0 {
		if b[0] != '\\' {
			text, b = append(text, b[0]), b[1:]
			continue
		}
		switch b[1] {
		case '\\':
			text, b = append(text, '\\'), b[2:]
		case 'n':
			text, b = append(text, '\n'), b[2:]
		case 't':
			text, b = append(text, '\t'), b[2:]
		case 'x':
			text = append(text,
				byte(strings.IndexByte("0123456789abcdef",
					b[2])<<4|strings.IndexByte("0123456789abcdef", b[3])))
			b = b[4:]
		default:
			t.Fatalf("escape %q", b)
		}
	}
	return text
}
