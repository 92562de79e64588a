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

// Everywhere reports whether no function below escapes anything in the text.
func Everywhere(text []byte) bool {
	return upTo(text, inColumn|inLastColumn|inString|inLabel|inHelp) == len(text)
}

// appendEscaped appends text. escape appends a character that needs a closer look, of which raw are the bytes.
func appendEscaped(dst, text []byte, in uint8, escape func(dst []byte, r rune, raw []byte) []byte) []byte {
	for {
		n := upTo(text, in)
		dst, text = append(dst, text[:n]...), text[n:]
		if len(text) == 0 {
			return dst
		}
		r, n := utf8.DecodeRune(text)
		dst = escape(dst, r, text[:n])
		text = text[n:]
	}
}

// AppendField appends text so that it can be neither a second line nor a second column. Newline and tab
// become \n and \t, and a backslash is doubled. Characters that are not printable, and bytes that are not
// UTF-8, become \xNN for each byte. So does a space unless spaces are allowed, as in the last column.
func AppendField(dst, text []byte, spaces bool) []byte {
	if spaces {
		return appendEscaped(dst, text, inLastColumn, escapeField)
	}
	return appendEscaped(dst, text, inColumn, escapeField)
}

func escapeField(dst []byte, r rune, raw []byte) []byte {
	switch {
	case r == '\\':
		return append(dst, `\\`...)
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == ' ', r == utf8.RuneError && len(raw) == 1, !Rune(r):
		for _, b := range raw {
			dst = append(dst, '\\', 'x', hex[b>>4], hex[b&15])
		}
		return dst
	}
	return append(dst, raw...)
}

// AppendString appends a JSON string (RFC 8259).
func AppendString(dst, text []byte) []byte {
	return append(AppendStringText(append(dst, '"'), text), '"')
}

// AppendStringText appends the text between the quotes of a JSON string. Bytes that are not UTF-8 become
// U+FFFD, as with encoding/json, which cannot append. Characters that are not printable become \uNNNN.
func AppendStringText(dst, text []byte) []byte {
	return appendEscaped(dst, text, inString, escapeString)
}

func escapeString(dst []byte, r rune, raw []byte) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == utf8.RuneError:
		return utf8.AppendRune(dst, utf8.RuneError)
	case !Rune(r):
		return AppendRune(dst, r)
	}
	return append(dst, raw...)
}

// AppendLabel appends text escaped as a label's value or, without quotes, a help line's. The format has
// only UTF-8, and no escape for a character that is not printable. So each byte of any other text becomes
// U+FFFD and its hexadecimal number, and U+FFFD itself is doubled. Two names never become one, because one
// doubled sample spoils the whole page.
func AppendLabel(dst, text []byte, quotes bool) []byte {
	if quotes {
		return appendEscaped(dst, text, inLabel, escapeLabel)
	}
	return appendEscaped(dst, text, inHelp, escapeLabel)
}

func escapeLabel(dst []byte, r rune, raw []byte) []byte {
	switch {
	case r == '\\':
		return append(dst, `\\`...)
	case r == '\n':
		return append(dst, `\n`...)
	case r == '"':
		return append(dst, `\"`...)
	case r == utf8.RuneError && len(raw) > 1:
		return utf8.AppendRune(utf8.AppendRune(dst, r), r)
	case r == utf8.RuneError, !Rune(r):
		for _, b := range raw {
			dst = append(utf8.AppendRune(dst, utf8.RuneError), hex[b>>4], hex[b&15])
		}
		return dst
	}
	return append(dst, raw...)
}

const hex = "0123456789abcdef"
