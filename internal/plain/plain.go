// Package plain makes text that cannot act on a terminal, from names and messages that others chose. It is
// valid UTF-8, and has no control characters, none without width, and none that set the direction of writing.
package plain

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Rune reports whether a character is shown as it is. Control characters, blanks but for the space,
// characters without width, those that set the direction of writing, and private ones are not.
// name_rune_is_plain of bpf/escape.h does the same in the kernel, without tables. So both show unassigned
// characters.
func Rune(r rune) bool {
	switch {
	case r < 0xa1:
		return ' ' <= r && r <= '~'
	case r == 0xad, r == 0x1680, r == 0x3000, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return false
	case 0x2000 <= r && r <= 0x206f:
		return 0x2010 <= r && r <= 0x2027 || 0x2030 <= r && r <= 0x205e
	}
	return (r < 0xd800 || r > 0xf8ff) && (r < 0xfff0 || r > 0xfffb) && r < 0xe0000
}

// Line returns text on one line: each run of white space is one space, and each byte of any other character
// that is not plain is \xNN.
func Line(text string) string { return Text(strings.Join(strings.Fields(text), " ")) }

// Text returns text with each byte of a character that is not plain as \xNN.
func Text(text string) string { return escape(text, "") }

// escape returns text with each byte of a character that is not plain, and not in keep, as \xNN.
func escape(text, keep string) string {
	isPlain := func(r rune) bool { return Rune(r) || strings.ContainsRune(keep, r) }
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !isPlain(r) }) < 0 {
		return text
	}
	var out strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if isPlain(r) && (r != utf8.RuneError || n > 1) {
			out.WriteString(text[:n])
		} else {
			for i := range n {
				fmt.Fprintf(&out, `\x%02x`, text[i])
			}
		}
		text = text[n:]
	}
	return out.String()
}

// JSON returns JSON text with each character that is not plain as \uNNNN, in place of itself. Strings mean
// the same. Newlines and tabs between them stay. The text must be valid UTF-8, as that of encoding/json is.
func JSON(text []byte) []byte {
	var out []byte
	from := 0 // text before it is in out
	for at, r := range string(text) {
		if Rune(r) || r == '\n' || r == '\t' {
			continue
		}
		out = AppendRune(append(out, text[from:at]...), r)
		from = at + utf8.RuneLen(r)
	}
	if from == 0 {
		return text
	}
	return append(out, text[from:]...)
}

// AppendRune appends a character as \uNNNN, or two of them, as in a JSON string (RFC 8259).
func AppendRune(dst []byte, r rune) []byte {
	if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
		return AppendRune(AppendRune(dst, r1), r2)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// Writer returns a writer that escapes the characters written, but for newlines and tabs. A character must be
// within one write.
func Writer(to io.Writer) io.Writer { return writer{to} }

type writer struct{ to io.Writer }

func (w writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.to, escape(string(text), "\n\t")); err != nil {
		return 0, err
	}
	return len(text), nil
}
