package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"bpfviewfs/bpf"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
)

// types are the record types of the built-in views.
func types(t testing.TB) map[string]records.Type {
	t.Helper()
	found := make(map[string]records.Type)
	objects, err := fs.Glob(bpf.Objects, "*.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		raw, err := fs.ReadFile(bpf.Objects, object)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		typ, err := records.TypeOf(spec.Types, nil)
		if err != nil {
			t.Fatal(err)
		}
		if typ.Kind() == "record" {
			found[strings.TrimSuffix(object, ".bpf.o")] = typ
		}
	}
	if len(found) < 8 {
		t.Fatalf("only %d record views", len(found))
	}
	return found
}

// TestDecode compares with the JSON of the same bytes.
func TestDecode(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for view, typ := range types(t) {
		s, err := ParseSchema(typ.Schema(view))
		if err != nil {
			t.Fatal(err)
		}
		var out records.Output
		const n = 40
		out.Begin(view, typ, 7, true, 1<<24)
		for i := range n {
			name := "."
			if i > 0 {
				name = fmt.Sprint("c", i)
			}
			node := out.Add(uint64(7+i), 0, name)
			record := make([]byte, s.Size)
			for j := range s.Members {
				m := &s.Members[j]
				b := record[m.Offset:][:m.Size]
				switch {
				case rnd.IntN(4) == 0 && m.Optional:
					copy(b, bytes.Repeat([]byte{0xff}, m.Size))
				case strings.HasPrefix(m.Type, "char"):
					for k := range b[:min(len(b), 12)] {
						b[k] = byte('a' + rnd.IntN(26))
					}
				case strings.HasPrefix(m.Type, "enum"), m.Type == "bool":
					b[0] = byte(rnd.IntN(2))
				default:
					for k := range b[:max(1, m.Size/2)] {
						b[k] = byte(rnd.IntN(256))
					}
				}
			}
			out.Write(node, append(out.Bytes(), record...))
		}
		raw, err := out.Render(records.Raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := out.Render(records.JSON, nil)
		if err != nil {
			t.Fatal(err)
		}
		run, err := s.Parse(raw, time.Now())
		if err != nil || len(run.Frames) != n || !run.Tree {
			t.Fatalf("%s: %d frames, %v", view, len(run.Frames), err)
		}
		i := 0
		for line := range strings.Lines(string(text)) {
			frame := run.Frames[i]
			var want map[string]any
			numbers := json.NewDecoder(strings.NewReader(line))
			numbers.UseNumber()
			if err := numbers.Decode(&want); err != nil {
				t.Fatal(err)
			}
			if want["cgroup"] != frame.Path || len(frame.Records) != s.Size {
				t.Fatalf("%s: frame %q has %d bytes, JSON says %v",
					view, frame.Path, len(frame.Records), want["cgroup"])
			}
			for j := range s.Members {
				m := &s.Members[j]
				value, known := want[m.Name]
				if !known || m.IsHistogram() {
					continue
				}
				got, text := m.Text(frame.Records), fmt.Sprint(value)
				if value == nil {
					text = "-"
				}
				if got != text {
					t.Errorf("%s: %s is %q, JSON says %q", view, m.Name, got, text)
				}
			}
			i++
		}
		for cut := range len(raw) {
			if _, err := s.Parse(raw[:cut], time.Now()); err != nil &&
				!errors.Is(err, ErrForeign) {
				t.Fatalf("%s: cut at %d: %v", view, cut, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	var s *Schema
	for view, typ := range types(f) {
		if view == "cpu" {
			var out records.Output
			out.Begin(view, typ, 7, true, 1<<20)
			node := out.Add(7, 0, ".")
			s, _ = ParseSchema(typ.Schema(view))
			out.Write(node, append(out.Bytes(), make([]byte, s.Size)...))
			raw, err := out.Render(records.Raw, nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		run, err := s.Parse(raw, time.Time{})
		if err != nil {
			return
		}
		for _, frame := range run.Frames {
			for i := range len(frame.Records) / s.Size {
				s.Members[0].Text(s.Record(frame.Records, i))
			}
		}
	})
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"sshd": "sshd", "a b": `a\x20b`, "\x1b[2J": `\x1b[2J`, "ä": "ä", "\xff": `\xff`,
		`a\b`: `a\\b`, "\u202e": `\xe2\x80\xae`, "\uFFFD": `\xef\xbf\xbd`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

func TestPercentile(t *testing.T) {
	for _, tt := range []struct {
		slots []uint64
		part  float64
		want  float64
		ok    bool
	}{
		{[]uint64{0, 0}, 0.5, 0, false},
		{[]uint64{10, 0}, 0.5, 1, true},
		{[]uint64{0, 0, 10, 10}, 0.5, 8, true},
		{[]uint64{0, 0, 10, 10}, 0.99, 15.84, true},
	} {
		got, ok := Percentile(tt.slots, tt.part)
		if strconv.FormatFloat(got, 'f', 4, 64) != strconv.FormatFloat(tt.want, 'f', 4, 64) ||
			ok != tt.ok {
			t.Errorf("%v at %v: %v %v, want %v", tt.slots, tt.part, got, ok, tt.want)
		}
	}
}
