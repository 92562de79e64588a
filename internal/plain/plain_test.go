package plain

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

const hostile = "a\x1b[31m\u009b2J\u202eb\xff\x00\r\n\tc\u200b\ufeff\U000e0041\x7f\\é😀 \u00a0d"

func TestLine(t *testing.T) {
	const want = `a\x1b[31m\xc2\x9b2J\xe2\x80\xaeb\xff\x00 c\xe2\x80\x8b\xef\xbb\xbf\xf3\xa0\x81\x81\x7f\é😀 d`
	if got := Line(hostile); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestWriter(t *testing.T) {
	var out strings.Builder
	if n, err := Writer(&out).Write([]byte("a\x1b\n\tb\x9b\n")); n != 7 || err != nil ||
		out.String() != "a\\x1b\n\tb\\x9b\n" {
		t.Errorf("%d, %v: %q", n, err, out.String())
	}
}

func FuzzPlain(f *testing.F) {
	f.Add(hostile)
	f.Add("\ufffd")
	f.Fuzz(func(t *testing.T, text string) {
		isPlain := func(what, s, keep string) {
			t.Helper()
			for _, r := range s {
				if !Rune(r) && !strings.ContainsRune(keep, r) {
					t.Fatalf("%s of %q has %q: %q", what, text, r, s)
				}
			}
			if !utf8.ValidString(s) {
				t.Fatalf("%s of %q is no UTF-8: %q", what, text, s)
			}
		}
		isPlain("the line", Line(text), "")
		raw, err := json.MarshalIndent(map[string]string{text: text}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		out := JSON(raw)
		isPlain("the JSON", string(out), "\n\t")
		var before, after map[string]string
		if json.Unmarshal(raw, &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("%s is no JSON", out)
		}
		for key, value := range before {
			if after[key] != value {
				t.Fatalf("%q became %q", value, after[key])
			}
		}
	})
}
