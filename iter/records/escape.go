package records

import (
	"strconv"
	"unicode/utf8"
)

// appendEscaped appends text so that it can be neither a second line nor a second column: every byte of what is not
// printable or not UTF-8 as \xNN, newline and tab as \n and \t, backslash as \\, and space as \x20 unless spaces stay
// (in the last column).
func appendEscaped(dst, text []byte, spaces bool) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == ' ' && !spaces, r == utf8.RuneError && n == 1, !strconv.IsPrint(r):
			for _, b := range text[:n] {
				dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
			}
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

const hex = "0123456789abcdef"
