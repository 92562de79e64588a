package records

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"bpfviewfs/internal/histograms"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/trees"
)

// FuzzRender compares each rendering with a reference, which is written for simplicity, over random record
// types, trees and bytes.
func FuzzRender(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		o := randomOutput(t, rand.New(rand.NewPCG(seed, 1)))
		wanted := map[Format]string{Text: plainText(o), JSON: plainJSON(o), Prom: plainProm(o)}
		list := o.Tree
		if seed%3 > 0 { // the list keeps its texts
			o.Tree = trees.Tree{}
			o.Share(&list)
		}
		raw, parts := slices.Clone(o.raw), slices.Clone(o.parts)
		for format, want := range wanted {
			o.raw, o.parts = append(o.raw[:0], raw...), append(o.parts[:0], parts...)
			got, err := o.Render(format, []byte("before"))
			if want := "before" + want; err != nil || string(got) != want {
				at := 0
				for at < min(len(got), len(want)) && got[at] == want[at] {
					at++
				}
				t.Fatalf("%v, %v: from byte %d on\n%q\nwant\n%q",
					format, err, at, got[at:], want[at:])
			}
		}
	})
}

// plainRecords are the records of a part in the order of their keys.
func plainRecords(o *Output, p *part) [][]byte {
	records := slices.Collect(slices.Chunk(o.raw[p.raw:p.rawEnd], o.record.size))
	slices.SortStableFunc(records, o.record.compare)
	return records
}

func plainPath(o *Output, p *part) string {
	path := string(o.Name(p.number))
	for at := o.Parent(p.number); at > 0; at = o.Parent(at) {
		path = string(o.Name(at)) + "/" + path
	}
	return path
}

func plainMissing(c *column, rec []byte) bool {
	return c.optional && bytes.Equal(c.bytes(rec), bytes.Repeat([]byte{0xff}, c.size))
}

func plainNumber(c *column, rec []byte) (v uint64) {
	bytes := slices.Clone(c.bytes(rec))
	if !bigEndian {
		slices.Reverse(bytes)
	}
	for _, b := range bytes {
		v = v<<8 | uint64(b)
	}
	if unused := 64 - 8*len(bytes); c.negative {
		v = uint64(int64(v<<unused) >> unused)
	}
	return v
}

// plainValue is the value of a column without text.
func plainValue(c *column, rec []byte) string {
	if c.kind == address {
		return netip.AddrFrom16([16]byte(c.bytes(rec))).Unmap().String()
	}
	v := plainNumber(c, rec)
	if name := c.names[v]; name != "" {
		return name
	}
	if c.negative {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatUint(v, 10)
}

// plainEscape escapes text rune by rune. A byte that is not UTF-8 is a rune of one byte.
func plainEscape(text string, escape func(r rune, bytes string) string) (out string) {
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		out += escape(r, text[:n])
		text = text[n:]
	}
	return out
}

func escapeText(text string, spaces bool) string {
	return plainEscape(text, func(r rune, bytes string) string {
		switch {
		case r == '\\' || r == '\n' || r == '\t':
			return strings.Trim(strconv.QuoteRune(r), "'")
		case r == ' ' && spaces, r != ' ' && plain.Rune(r) && bytes != "\xff" &&
			utf8.ValidString(bytes):
			return bytes
		}
		escaped := ""
		for _, b := range []byte(bytes) {
			escaped += fmt.Sprintf(`\x%02x`, b)
		}
		return escaped
	})
}

// plainText makes all cells first. A column is as wide as its widest cell, at most maxWidth.
func plainText(o *Output) string {
	var heads []string
	var left []bool
	histograms := 0
	for _, c := range o.record.columns {
		if c.kind == histogram {
			histograms++
		}
	}
	for _, c := range o.record.columns {
		name := strings.ToUpper(c.name)
		if c.kind != histogram {
			heads = append(heads, name)
			left = append(left, c.kind == characters || c.kind == address || c.kind == enumeration)
			continue
		}
		before := strings.TrimSuffix(name, "_NSEC") + "_"
		if histograms == 1 {
			before = ""
		}
		heads = append(heads, before+"COUNT", before+"P50_NSEC", before+"P90_NSEC", before+"P99_NSEC")
		left = append(left, false, false, false, false)
	}
	if o.tree {
		heads, left = append(heads, "CGROUP_ID", "PATH"), append(left, false, true)
	}
	lines := [][]string{heads}
	for i := range o.parts {
		for _, rec := range plainRecords(o, &o.parts[i]) {
			var cells []string
			for k := range o.record.columns {
				c := &o.record.columns[k]
				cells = append(cells, plainCells(c, rec, !o.tree && k == len(o.record.columns)-1)...)
			}
			if o.tree {
				cells = append(cells, fmt.Sprint(o.Cgroup(o.parts[i].number)),
					escapeText(plainPath(o, &o.parts[i]), false))
			}
			lines = append(lines, cells)
		}
	}
	var out strings.Builder
	for _, cells := range lines {
		for k, cell := range cells {
			width := 0
			for _, other := range lines {
				width = min(max(width, len(other[k])), maxWidth)
			}
			blanks := strings.Repeat(" ", max(0, width-len(cell)))
			switch {
			case left[k] && k < len(cells)-1:
				cell += blanks
			case !left[k]:
				cell = blanks + cell
			}
			out.WriteString(cell + map[bool]string{true: "\n", false: " "}[k == len(cells)-1])
		}
	}
	return out.String()
}

// plainCells are the values of a column of one record.
func plainCells(c *column, rec []byte, spaces bool) []string {
	missing := plainMissing(c, rec)
	switch {
	case c.kind == histogram:
		total := c.slots(rec).Total()
		switch {
		case missing:
			return []string{"-", "-", "-", "-"}
		case total == 0:
			return []string{"0", "-", "-", "-"}
		}
		cells := []string{fmt.Sprint(total)}
		for _, of := range []float64{0.50, 0.90, 0.99} {
			cells = append(cells, fmt.Sprint(c.slots(rec).Percentile(of)))
		}
		return cells
	case missing:
		return []string{"-"}
	case c.kind == characters:
		if text := escapeText(string(c.characters(rec)), spaces); text != "" {
			return []string{text}
		}
		return []string{"-"}
	}
	return []string{plainValue(c, rec)}
}

func plainJSON(o *Output) (out string) {
	for i := range o.parts {
		p := &o.parts[i]
		for _, rec := range plainRecords(o, p) {
			var members []string
			if o.tree {
				members = append(members, `"cgroup":`+jsonString(plainPath(o, p)),
					`"cgroup_id":`+jsonNumber(fmt.Sprint(o.Cgroup(p.number))))
			}
			for i := range o.record.columns {
				c := &o.record.columns[i]
				members = append(members, `"`+c.name+`":`+plainMember(c, rec))
			}
			out += "{" + strings.Join(members, ",") + "}\n"
		}
	}
	return out
}

func plainMember(c *column, rec []byte) string {
	value := plainValue
	switch {
	case plainMissing(c, rec):
		return "null"
	case c.kind == characters:
		return jsonString(string(c.characters(rec)))
	case c.kind == boolean:
		return fmt.Sprint(plainNumber(c, rec) != 0)
	case c.kind == address, c.names[plainNumber(c, rec)] != "":
		return `"` + value(c, rec) + `"`
	case c.kind != histogram:
		return jsonNumber(value(c, rec))
	}
	s := c.slots(rec)
	out := `{"count":` + jsonNumber(fmt.Sprint(s.Total())) + `,"sum":null`
	for _, p := range histograms.Percentiles {
		percentile := "null"
		if s.Total() > 0 {
			percentile = jsonNumber(fmt.Sprint(s.Percentile(p.Of)))
		}
		out += `,"` + p.Name + `":` + percentile
	}
	var buckets []string
	for i := range s.Len() {
		upper := jsonNumber(fmt.Sprint(c.bound(i)))
		if i == s.Len()-1 {
			upper = "null"
		}
		if s.Count(i) > 0 {
			buckets = append(buckets, "["+upper+","+jsonNumber(fmt.Sprint(s.Count(i)))+"]")
		}
	}
	return out + `,"buckets":[` + strings.Join(buckets, ",") + "]}"
}

// jsonNumber quotes a number that not every reader knows exactly.
func jsonNumber(number string) string {
	v, _ := new(big.Int).SetString(number, 10)
	if v.CmpAbs(big.NewInt(1<<53)) > 0 {
		return `"` + number + `"`
	}
	return number
}

func jsonString(text string) string {
	return `"` + plainEscape(text, func(r rune, bytes string) string {
		switch {
		case r == '"' || r == '\\':
			return `\` + bytes
		case r == '\n' || r == '\t':
			return strings.Trim(strconv.QuoteRune(r), "'")
		case r > 0xffff && !plain.Rune(r):
			r1, r2 := utf16.EncodeRune(r)
			return fmt.Sprintf(`\u%04x\u%04x`, r1, r2)
		case !plain.Rune(r):
			return fmt.Sprintf(`\u%04x`, r)
		}
		return string(r)
	}) + `"`
}
