package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
	"unicode/utf8"

	"bpfviewfs/internal/testenv"
	"github.com/cilium/ebpf/btf"
)

func TestJSON(t *testing.T) {
	r := everyKind(t)
	missing := oneOfEach(r, 1, "b")
	copy(missing[16:24], bytes.Repeat([]byte{0xff}, 8)) // usage_usec
	copy(missing[4:8], "\x09\x00\x00\x00")              // protocol without a name
	copy(missing[56:88], make([]byte, 32))              // wait_nsec
	o := written(r, append(oneOfEach(r, 7, "a\"\\\n\x01\xff"), missing...))
	got, err := o.Render(JSON, []byte("before\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := `before
{"pid":1,"protocol":9,"frozen":true,"level":-3,"state":"S","usage_usec":null,"rss_pages":2,"peer":"127.0.0.1",` +
		`"owner":"9007199254740993","wait_nsec":{"count":0,"sum":45,"p50":null,"p90":null,"p99":null,"buckets":[]},"comm":"b","delta_bytes":"-18014398509481984"}
{"pid":7,"protocol":"udp","frozen":true,"level":-3,"state":"S","usage_usec":1500,"rss_pages":2,"peer":"127.0.0.1",` +
		`"owner":"9007199254740993","wait_nsec":{"count":9,"sum":45,"p50":5,"p90":8,"p99":15,"buckets":[[2,2],[8,6],[null,1]]},"comm":"a\"\\\n\u0001` + "\ufffd" + `","delta_bytes":"-18014398509481984"}
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if testenv.Has(t, "jq") {
		cmd := exec.Command("jq", "-ces", `[.[].delta_bytes]`)
		cmd.Stdin = bytes.NewReader(got[len("before\n"):])
		if out, err := cmd.CombinedOutput(); err != nil ||
			string(out) != "[\"-18014398509481984\",\"-18014398509481984\"]\n" {
			t.Errorf("jq says %s, %v", out, err)
		}
	}
}

// A record is shown alike after any other, also if its sum comes first and is all that differs.
func TestJSONAfterOthers(t *testing.T) {
	r := mustRecord(t, 48, member("sum", 0, u64, "sum:wait"),
		member("wait", 8, &btf.Array{Index: u32, Type: u64, Nelems: 4}, "kind:histogram"),
		member("count", 40, u64))
	var rows, want []byte
	for _, row := range [][3]byte{{5, 1, 7}, {6, 1, 7}, {6, 1, 7}, {6, 1, 8}, {6, 2, 8}, {9, 2, 7}} {
		rec := make([]byte, r.size)
		rec[0], rec[8], rec[40] = row[0], row[1], row[2]
		if bigEndian {
			rec[0], rec[8], rec[40] = 0, 0, 0
			rec[7], rec[15], rec[47] = row[0], row[1], row[2]
		}
		rows = append(rows, rec...)
		want = fmt.Appendf(want, `{"wait":{"count":%d,"sum":%d,"p50":1,"p90":1,"p99":1,"buckets":[[1,%d]]},"count":%d}`+
			"\n", row[1], row[0], row[1], row[2])
	}
	if got, err := written(r, rows).Render(JSON, nil); err != nil || string(got) != string(want) {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// FuzzJSON checks that each record, of any bytes, is one line with an object that has all members.
func FuzzJSON(f *testing.F) {
	r := everyKind(f)
	f.Add(oneOfEach(r, 1, "a"), []byte("a/b"))
	f.Add(bytes.Repeat(oneOfEach(r, 1, "\xff\n\"\\\x00"), 3), []byte("\xff\u2028"))
	f.Add(bytes.Repeat([]byte{0xff}, 256), []byte("."))
	f.Fuzz(func(t *testing.T, raw, path []byte) {
		o := below(r, path, raw[:len(raw)/r.size*r.size])
		out, err := o.Render(JSON, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(out) {
			t.Fatalf("no UTF-8: %q", out)
		}
		lines := 0
		for line := range bytes.Lines(out) {
			var members map[string]any
			if err := json.Unmarshal(line, &members); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			// The sum is inside its histogram; cgroup and cgroup_id come first.
			if len(members) != len(r.columns)-1+2 ||
				members["cgroup"] != string(bytes.ToValidUTF8(path, nil)) &&
					utf8.Valid(path) {
				t.Fatalf("%d members for %d columns: %s", len(members), len(r.columns), line)
			}
			lines++
		}
		if lines != len(raw)/r.size {
			t.Fatalf("%d lines for %d records", lines, len(raw)/r.size)
		}
	})
}
