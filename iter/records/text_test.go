package records

import (
	"bytes"
	"encoding/binary"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/plain"
	"bpfviewfs/internal/readers"
)

// put makes one record of values in the order of its columns.
func put(r *record, values ...any) []byte {
	rec := make([]byte, r.size)
	for i, v := range values {
		c := &r.columns[i]
		b := rec[c.off:][:c.size]
		switch v := v.(type) {
		case string:
			copy(b, v)
		case int:
			var wide [8]byte
			binary.LittleEndian.PutUint64(wide[:], uint64(v))
			copy(b, wide[:])
		}
	}
	return rec
}

// written is the output of a run for one cgroup.
func written(r *record, raw []byte) *Output {
	o := new(Output)
	o.Begin("test", Type{kind: "record", version: 1, record: r}, 7, false, 1<<30)
	o.Write(0, raw)
	return o
}

// below is the output of a tree in which one cgroup has written. Its path may have slashes.
func below(r *record, path, raw []byte) *Output {
	o := written(r, nil)
	o.tree = true
	o.Clear()
	o.Write(o.Add(8, 0, string(path)), raw)
	return o
}

func TestText(t *testing.T) {
	r := mustRecord(t, 40,
		member("pid", 0, u32, "key", "width:7"),
		member("nice", 4, s16, "kind:gauge"),
		member("state", 6, char),
		member("flag", 7, u8),
		member("rss_bytes", 8, u64, "optional"),
		member("user", 16, text(8)),
		member("comm", 24, text(16)),
	)
	raw := bytes.Join([][]byte{
		put(r, 300, -20, "S", 1, 4096, "root", "b"),
		put(r, 4294967295, 0, "R", 0, -1, "a b", "two words"),
		put(r, 7, 19, "D", 255, 1<<40, "", "a\nb \\ \xff \u00e9 \u202e"),
		put(r, 300, -1, "Z", 2, 0, "12345678", ""),
	}, nil)
	want := strings.Join([]string{
		`       PID NICE STATE FLAG     RSS_BYTES USER     COMM`,
		"         7   19 D      255 1099511627776 -        a\\nb \\\\ \\xff \u00e9 \\xe2\\x80\\xae",
		`       300  -20 S        1          4096 root     b`,
		`       300   -1 Z        2             0 12345678 -`,
		`4294967295    0 R        0             - a\x20b   two words`,
		``,
	}, "\n")
	got, err := written(r, raw).Render(Text, []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "before"+want {
		t.Errorf("got\n%swant\nbefore%s", got, want)
	}
}

func TestTextOfNothing(t *testing.T) {
	r := mustRecord(t, 4, member("pid", 0, u32))
	got, err := written(r, nil).Render(Text, nil)
	if err != nil || string(got) != "PID\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTextOfPart(t *testing.T) {
	r := mustRecord(t, 4, member("pid", 0, u32))
	_, err := written(r, make([]byte, 6)).Render(Text, []byte("x"))
	ktest.Errno(t, "six bytes of four", err, syscall.EIO)
}

func TestTextKeepsOrderWithoutKeys(t *testing.T) {
	r := mustRecord(t, 1, member("n", 0, u8))
	got, _ := written(r, []byte{3, 1, 2}).Render(Text, nil)
	if string(got) != "N\n3\n1\n2\n" {
		t.Errorf("got %q", got)
	}
}

func TestRenderingAllocatesNothing(t *testing.T) {
	r := mustRecord(t, 32, member("pid", 0, u32, "key"), member("n", 4, u32, "kind:gauge"),
		member("usage_usec", 8, u64, "unit:us", "kind:counter"),
		member("comm", 16, text(16)))
	o := written(r, bytes.Repeat(put(r, 1, 2, 3, "a\nb"), 100))
	for _, f := range []Format{Text, JSON, Prom, Raw} {
		dst, _ := o.Render(f, nil)
		allocs := testing.AllocsPerRun(10, func() { dst, _ = o.Render(f, dst[:0]) })
		if allocs != 0 {
			t.Errorf("%v: %v allocations", f, allocs)
		}
	}
}

// FuzzText checks that any output has a line for the header and one for each record, and that each line has a
// field for each column.
func FuzzText(f *testing.F) {
	r := mustRecord(f, 32,
		member("key", 0, text(5), "key"),
		member("state", 5, char),
		member("small", 6, s16),
		member("number", 8, s32, "optional", "key"),
		member("word", 12, text(12), "optional"),
		member("last", 24, text(8)),
	)
	f.Add(make([]byte, 64))
	f.Add(bytes.Repeat([]byte("a \n\\\xff\x00\xe2\x80"), 12))
	f.Add(bytes.Repeat([]byte{0xff}, 96))
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = raw[:len(raw)/r.size*r.size]
		out, err := written(r, raw).Render(Text, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(out), "\n")
		if len(lines) != 1+len(raw)/r.size+1 || lines[len(lines)-1] != "" {
			t.Fatalf("%d lines for %d records: %q", len(lines)-1, len(raw)/r.size, out)
		}
		for _, line := range lines[:len(lines)-1] {
			// The last field may be all blanks, or have some.
			fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' })
			if len(fields) < len(r.columns)-1 || strings.Count(line, " ") < len(r.columns)-1 {
				t.Fatalf("%d fields in %q", len(fields), line)
			}
			for _, b := range []byte(line) {
				if b < ' ' || b == 0x7f {
					t.Fatalf("byte %#x in %q", b, line)
				}
			}
		}
	})
}

// FuzzEscape checks that nothing is lost, and that no text divides lines or columns.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte(" a\\n\n\t\x00\xff\xc3\xa9\u2028"))
	f.Fuzz(func(t *testing.T, text []byte) {
		out := plain.AppendField(nil, text, false)
		if i := bytes.IndexAny(out, " \n\t\r\x00"); i >= 0 {
			t.Fatalf("%q became %q", text, out)
		}
		if back := readers.Unescape(t, out); !bytes.Equal(back, text) {
			t.Fatalf("%q became %q, which means %q", text, out, back)
		}
	})
}
