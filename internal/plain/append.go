package plain

import "unicode/utf8"

// The places that text is written to.
const (
	inColumn     = 1 << iota // a column of text
	inLastColumn             // the last one, which may hold spaces
	inString                 // a JSON string
	inLabel                  // a label's value in Prometheus text
	inHelp                   // a help line there
)

// escaped says in which places a byte needs a closer look, because it is escaped there or is no ASCII
// character.
var escaped = func() (e [256]uint8) {
	for b := range e {
		switch {
		case b >= utf8.RuneSelf:
			e[b] = inColumn | inLastColumn | inString | inLabel | inHelp
		case b == '\\', b == '\n':
			e[b] = inColumn | inLastColumn | inString | inLabel | inHelp
		case b < ' ', b == 0x7f:
			e[b] = inColumn | inLastColumn | inString | inLabel | inHelp
		case b == ' ':
			e[b] = inColumn
		case b == '"':
			e[b] = inString | inLabel
		}
	}
	return e
}()

// upTo is the number of bytes before the first one that needs a closer look.
func upTo(text []byte, in uint8) int {
	for i, b := range text {
		if escaped[b]&in != 0 {
			return i
		}
	}
	return len(text)
}

// AppendField appends text so that it can be neither a second line nor a second column. Newline and tab
// become \n and \t, and a backslash is doubled. Characters that are not printable, and bytes that are not
// UTF-8, become \xNN for each byte. So does a space unless spaces are allowed, as in the last column.
func AppendField(dst, text []byte, spaces bool) []byte {
	in := uint8(inColumn)
	if spaces {
		in = inLastColumn
	}
	for {
		n := upTo(text, in)
		dst, text = append(dst, text[:n]...), text[n:]
		if len(text) == 0 {
			return dst
		}
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == ' ', r == utf8.RuneError && n == 1, !Rune(r):
			for _, b := range text[:n] {
				dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
			}
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
}

// AppendString appends a JSON string (RFC 8259).
func AppendString(dst, text []byte) []byte {
	return append(AppendStringText(append(dst, '"'), text), '"')
}

// AppendStringText appends the text between the quotes of a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as with encoding/json, which cannot append. Characters that are not printable become \uNNNN.
func AppendStringText(dst, text []byte) []byte {
	for {
		n := upTo(text, inString)
		dst, text = append(dst, text[:n]...), text[n:]
		if len(text) == 0 {
			return dst
		}
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == utf8.RuneError:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		case !Rune(r):
			dst = AppendRune(dst, r)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
}

// AppendLabel appends text escaped as a label's value or, without quotes, a help line's. The format has
// only UTF-8, and no escape for a character that is not printable. So each byte of any other text becomes
// U+FFFD and its hexadecimal number, and U+FFFD itself is doubled. Two names never become one, because one
// doubled sample spoils the whole page.
func AppendLabel(dst, text []byte, quotes bool) []byte {
	in := uint8(inHelp)
	if quotes {
		in = inLabel
	}
	for {
		n := upTo(text, in)
		dst, text = append(dst, text[:n]...), text[n:]
		if len(text) == 0 {
			return dst
		}
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '"' && quotes:
			dst = append(dst, `\"`...)
		case r == utf8.RuneError && n > 1:
			dst = utf8.AppendRune(utf8.AppendRune(dst, r), r)
		case r == utf8.RuneError, !Rune(r):
			for _, b := range text[:n] {
				dst = append(utf8.AppendRune(dst, utf8.RuneError), hex[b>>4], hex[b&15])
			}
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
}

const hex = "0123456789abcdef"
