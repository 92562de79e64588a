package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

const twoMembers = `{"view":"v","hash":"0102030405060708","byte_order":"little","size":16,"members":[
{"name":"count","offset":0,"size":8,"type":"u64"},
{"name":"kind","offset":8,"size":4,"type":"enum32","values":{"0":"some","1":"full"}},
{"name":"change","offset":12,"size":2,"type":"s16","optional":true}]}`

func mustParse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree is the raw output of twoMembers for two cgroups, with two records and with one.
func treeOutput() []byte {
	b := append([]byte("BPFV\x50\x00\x01\x02\x10\x00\x00\x00\x01\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08"),
		make([]byte, headerSize-24)...)
	b = append(b, "\x07\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00.\x00\x00\x00\x00\x00\x00\x00"...)
	b = append(b, "\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\xfe\xff\x00\x00"...)
	b = append(b, "\x04\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\xff\xff\x00\x00"...)
	b = append(b, "\x08\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00a b\x00\x00\x00\x00\x00"...)
	b = append(b, "\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"...)
	binary.LittleEndian.PutUint64(b[64:], uint64(len(b)))
	return b
}

func TestEach(t *testing.T) {
	s, b := mustParse(t, twoMembers), treeOutput()
	var got string
	err := s.Each(b, func(cgroup uint64, path, records []byte) bool {
		got += fmt.Sprintf("%d %q", cgroup, path)
		for i := range len(records) / s.Size {
			for k := range s.Members {
				got += fmt.Sprintf(" %v", s.Members[k].Value(s.Record(records, i)))
			}
		}
		got += "\n"
		return true
	})
	if want := "7 \".\" 3 full -2 4 2 <nil>\n8 \"a b\" 5 some 1\n"; err != nil || got != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
	calls := 0
	err = s.Each(b, func(uint64, []byte, []byte) bool { calls++; return false })
	if err != nil || calls != 1 {
		t.Errorf("%d calls after the end, %v", calls, err)
	}
	if other := mustParse(t, `{"view":"v","hash":"ff","size":16}`); !errors.Is(other.Each(b, nil), ErrSchema) {
		t.Error("records of another type are taken")
	}
	if err := s.Each(append(b, b...), nil); !errors.Is(err, ErrFormat) {
		t.Errorf("a union is taken for one view: %v", err)
	}
}

func TestEachAllocatesNothing(t *testing.T) {
	s, b := mustParse(t, twoMembers), treeOutput()
	sum := uint64(0)
	allocations := testing.AllocsPerRun(10, func() {
		s.Each(b, func(cgroup uint64, path, records []byte) bool {
			for at := 0; at < len(records); at += s.Size {
				record := records[at : at+s.Size]
				sum += s.Members[0].Uint(record)
				if !s.Members[2].Missing(record) {
					sum += uint64(s.Members[2].Int(record))
				}
			}
			return true
		})
	})
	if allocations > 0 || sum == 0 {
		t.Errorf("%v allocations, sum %d", allocations, sum)
	}
}

// FuzzParse holds that any bytes are an error or whole records, and the same to Parse and Each.
func FuzzParse(f *testing.F) {
	s := mustParse(f, twoMembers)
	f.Add(treeOutput())
	f.Fuzz(func(t *testing.T, b []byte) {
		var frames []Frame
		err := s.Each(b, func(cgroup uint64, path, records []byte) bool {
			frames = append(frames, Frame{cgroup, string(path), records})
			return true
		})
		o, other := s.Parse(b)
		if (err == nil) != (other == nil) {
			t.Fatalf("Each says %v, Parse %v", err, other)
		}
		if err != nil {
			return
		}
		if fmt.Sprint(frames) != fmt.Sprint(o.Frames) {
			t.Fatalf("Each gives %v, Parse %v", frames, o.Frames)
		}
		for _, record := range o.All() {
			for i := range s.Members {
				s.Members[i].Value(record)
			}
		}
	})
}

func TestPercentile(t *testing.T) {
	for _, tt := range []struct {
		slots      []uint64
		part, want float64
		ok         bool
	}{
		{[]uint64{0, 0}, 0.5, 0, false},
		{[]uint64{10, 0}, 0.5, 1, true},
		{[]uint64{0, 0, 10, 10}, 0.5, 8, true},
		{[]uint64{0, 0, 10, 10}, 0.99, 15.84, true},
	} {
		got, ok := Percentile(tt.slots, tt.part)
		if fmt.Sprintf("%.4f", got) != fmt.Sprintf("%.4f", tt.want) || ok != tt.ok {
			t.Errorf("%v at %v: %v %v, want %v", tt.slots, tt.part, got, ok, tt.want)
		}
	}
}
