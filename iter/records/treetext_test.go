package records

import (
	"strings"
	"testing"

	"bpfviewfs/internal/readers"
)

// treeOf is the output of a tree. texts are pairs of a cgroup's path and its output.
func treeOf(r *record, texts ...string) *Output {
	o := new(Output)
	o.Begin("test", Type{version: 1, record: r}, 9, true, 1<<20)
	o.Reset()
	for i := 0; i < len(texts); i += 2 {
		o.Write(o.Add(uint64(9+i/2), 0, texts[i]), append(o.Bytes(), texts[i+1]...))
	}
	return o
}

func TestTreeOfText(t *testing.T) {
	for name, test := range map[string]struct {
		texts []string
		want  string
	}{
		"one header": {
			[]string{".", "LEVEL NAME\n1 a\n2 b\n", "a b", "", "a b/c", "LEVEL NAME\n3 c"},
			"LEVEL NAME CGROUP_ID PATH\n1 a                9 .\n2 b                9 .\n3 c               11 a\\x20b/c\n",
		},
		"headers differ": {
			[]string{".", "LEVEL\n1\n", "a", "DEPTH\n2\n"},
			"      CGROUP_ID PATH\nLEVEL         9 .\n1             9 .\nDEPTH        10 a\n2            10 a\n",
		},
		"no header": {
			[]string{".", "0\n", "a", "0\n"},
			"  CGROUP_ID PATH\n0         9 .\n0        10 a\n",
		},
		"words": {
			[]string{".", "Some text\n", "a", "Some text\n\n"},
			"          CGROUP_ID PATH\nSome text         9 .\nSome text        10 a\n                 10 a\n",
		},
		"the same of all": {
			[]string{".", "OK 1\n", "a", "OK 1\n"},
			"     CGROUP_ID PATH\nOK 1         9 .\nOK 1        10 a\n",
		},
		"the same word of all": {
			[]string{".", "RUNNING\n", "a", "RUNNING\n"},
			"        CGROUP_ID PATH\nRUNNING         9 .\nRUNNING        10 a\n",
		},
		"a column": {
			[]string{".", "PID\n7\n", "a", "PID\n"},
			"PID CGROUP_ID PATH\n7           9 .\n",
		},
		"a long line": {
			[]string{".", strings.Repeat("x", 200) + "\n", "a", "y\n"},
			strings.Repeat(" ", maxLine) + " CGROUP_ID PATH\n" + strings.Repeat("x", 200) +
				"         9 .\ny" + strings.Repeat(" ", maxLine) + "       10 a\n",
		},
		"silence": {
			[]string{".", "", "a", ""},
			"CGROUP_ID PATH\n",
		},
	} {
		got, err := treeOf(nil, test.texts...).Render(Text, []byte("before\n"))
		if err != nil || string(got) != "before\n"+test.want {
			t.Errorf("%s: got\n%swant\nbefore\n%s%v", name, got, test.want, err)
		}
	}
}

func TestTreeOfRecords(t *testing.T) {
	r := mustRecord(t, 4, member("key", 0, u8, "key"), member("n_usec", 1, u8, "kind:gauge", "unit:us"),
		member("c", 2, char))
	o := treeOf(r, ".", "\x02\x05a\x00\x01\x06b\x00", "x y", "", "x y/\xff", "\x01\x07\n\x00")
	for f, want := range map[Format]string{
		Text: "KEY N_USEC C  CGROUP_ID PATH\n" +
			"  1      6 b          9 .\n" +
			"  2      5 a          9 .\n" +
			"  1      7 \\n        11 x\\x20y/\\xff\n",
		JSON: `{"cgroup":".","cgroup_id":9,"key":1,"n_usec":6,"c":"b"}` + "\n" +
			`{"cgroup":".","cgroup_id":9,"key":2,"n_usec":5,"c":"a"}` + "\n" +
			`{"cgroup":"x y/` + "\ufffd" + `","cgroup_id":11,"key":1,"n_usec":7,"c":"\n"}` + "\n",
		Prom: "# HELP bpfview_test_n_seconds test n_seconds\n# TYPE bpfview_test_n_seconds gauge\n# UNIT bpfview_test_n_seconds seconds\n" +
			`bpfview_test_n_seconds{cgroup="/",key="1"} 0.000006` + "\n" +
			`bpfview_test_n_seconds{cgroup="/",key="2"} 0.000005` + "\n" +
			`bpfview_test_n_seconds{cgroup="/x y/` + "\ufffdff" + `",key="1"} 0.000007` + "\n" +
			"# HELP bpfview_test_info test info\n# TYPE bpfview_test_info gauge\n" +
			`bpfview_test_info{cgroup="/",key="1",c="b"} 1` + "\n" +
			`bpfview_test_info{cgroup="/",key="2",c="a"} 1` + "\n" +
			`bpfview_test_info{cgroup="/x y/` + "\ufffdff" + `",key="1",c="\n"} 1` + "\n",
	} {
		got, err := o.Render(f, nil)
		if err != nil || string(got) != want {
			t.Errorf("%v: got\n%swant\n%s%v", f, got, want, err)
		}
		if f == Prom {
			readers.Prom(t, got)
		}
	}
}

// FuzzSplit checks that the parts of any output lie in it, in order and apart, after those of the batch
// before. Otherwise it is an error.
func FuzzSplit(f *testing.F) {
	end := func(id, size byte) string {
		return string([]byte{id, 0, 0, 0, 0, 0, 0, 0, size, 0, 0, 0, 0, 0, 0, 0})
	}
	f.Add([]byte("abc" + end(1, 3) + end(2, 0) + "d" + end(4, 1)))
	f.Add([]byte(end(1, 3)))
	f.Add([]byte(end(2, 0) + end(1, 0)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var o Output
		o.Add(7, 0, ".")
		for id := range uint64(4) {
			o.Add(id+1, 0, "")
		}
		if err := o.Split([]byte("a"+end(7, 1)), 0, 1); err != nil {
			t.Fatal(err)
		}
		before := len(o.raw)
		raw = append(o.raw, raw...)
		if o.Split(raw, 1, 4) != nil {
			return
		}
		if first := o.parts[0]; first.number != 0 || first.raw != 0 || first.rawEnd != 1 {
			t.Fatalf("the first batch's part is now %+v", first)
		}
		at, number := before, 0
		for _, p := range o.parts[1:] {
			if p.raw != at || p.rawEnd < at || p.rawEnd > len(raw)-16 || p.number <= number {
				t.Fatalf("parts %+v of %d bytes", o.parts, len(raw))
			}
			at, number = p.rawEnd+16, p.number
		}
		if at != len(raw) {
			t.Fatalf("%d bytes of %d", at, len(raw))
		}
	})
}
