package records

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

func TestSchema(t *testing.T) {
	typ := Type{record: everyKind(t), version: 3, help: "everything"}
	var s schema
	if err := json.Unmarshal(typ.Schema("test"), &s); err != nil {
		t.Fatal(err)
	}
	if s.View != "test" || s.Version != 3 || s.Hash != typ.Hash() || len(s.Hash) != 16 || s.Size != 128 ||
		s.Help != "everything" || s.Order != "little" {
		t.Errorf("%+v", s)
	}
	var members []string
	for _, m := range s.Members {
		members = append(members, fmt.Sprintf("%s %d+%d %s %q %q %q",
			m.Name, m.Offset, m.Size, m.Type, m.Kind, m.Unit, m.Metric))
	}
	want := []string{
		`pid 0+4 u32 "" "" ""`,
		`protocol 4+4 enum32 "" "" ""`,
		`frozen 8+1 bool "" "" ""`,
		`level 9+1 s8 "gauge" "" "bpfview_test_level"`,
		`state 10+1 char[1] "" "" ""`,
		`usage_usec 16+8 u64 "counter" "us" "bpfview_test_usage_seconds_total"`,
		`rss_pages 24+8 u64 "gauge" "pages" "bpfview_test_rss_bytes"`,
		`peer 32+16 address "" "" ""`,
		`owner 48+8 cgroup "" "" ""`,
		`wait_nsec 56+32 histogram[4] "" "ns" "bpfview_test_wait_seconds"`,
		`wait_sum_nsec 88+8 u64 "counter" "ns" ""`,
		`comm 96+16 char[16] "" "" ""`,
		`delta_bytes 112+8 s64 "gauge" "bytes" "bpfview_test_delta_bytes"`,
	}
	if !slices.Equal(members, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(members, "\n"), strings.Join(want, "\n"))
	}
	if m := s.Members[1]; fmt.Sprint(m.Values) != "map[136:udp_lite 17:udp 6:tcp]" {
		t.Errorf("values %v", m.Values)
	}
	if !s.Members[0].Key || !s.Members[5].Optional || s.Members[10].SumOf != "wait_nsec" ||
		s.Members[0].Help != "process id" {
		t.Errorf("%+v", s.Members)
	}
}

// The hash covers all that a reader of the bytes has to know, and nothing else.
func TestHash(t *testing.T) {
	hash := func(size uint32, members ...btf.Member) [8]byte {
		return mustRecord(t, size, members...).sum
	}
	a := member("a", 0, u64, "kind:gauge", "help:one")
	base := hash(16, a)
	if base != hash(16, member("a", 0, u64, "help:other", "width:20", "kind:gauge")) {
		t.Error("the hash has help or width")
	}
	for name, other := range map[string][8]byte{
		"size":     hash(24, a),
		"name":     hash(16, member("b", 0, u64, "kind:gauge")),
		"place":    hash(16, member("a", 8, u64, "kind:gauge")),
		"type":     hash(16, member("a", 0, u32, "kind:gauge")),
		"sign":     hash(16, member("a", 0, s32, "kind:gauge")),
		"kind":     hash(16, member("a", 0, u64, "kind:counter")),
		"unit":     hash(16, member("a_nsec", 0, u64, "kind:gauge", "unit:ns")),
		"optional": hash(16, member("a", 0, u64, "kind:gauge", "optional")),
		"key":      hash(16, member("a", 0, u64, "key")),
		"another":  hash(16, a, member("b", 8, u64)),
		"enum": hash(16,
			member("a", 0, &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "X_A"}}})),
		"value": hash(16,
			member("a", 0, &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "X_B"}}})),
	} {
		if other == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestEnumNames(t *testing.T) {
	values := func(names ...string) (v []btf.EnumValue) {
		for i, n := range names {
			v = append(v, btf.EnumValue{Name: n, Value: uint64(int64(i - 1))})
		}
		return v
	}
	for _, test := range []struct {
		names []string
		want  []string
	}{
		{[]string{"TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_CLOSE"},
			[]string{"syn_sent", "syn_recv", "close"}},
		{[]string{"TCP_SYN_SENT", "TCP_SYN_RECV"}, []string{"sent", "recv"}},
		{[]string{"A_B", "A_B_C"}, []string{"b", "b_c"}},
		{[]string{"ON", "OFF"}, []string{"on", "off"}},
		{[]string{"ONE_ALONE"}, []string{"alone"}},
		{[]string{"PF_", "PF_X"}, []string{"", "x"}},
	} {
		r := mustRecord(t, 4,
			member("e", 0, &btf.Enum{Size: 4, Signed: true, Values: values(test.names...)}))
		for i, want := range test.want {
			if got := r.columns[0].enumName(put(r, i-1)); got != want {
				t.Errorf("%v: %s is %q, want %q", test.names, test.names[i], got, want)
			}
		}
		if got := r.columns[0].enumName(put(r, 77)); got != "" {
			t.Errorf("77 is %q", got)
		}
	}
}

func TestProgramTags(t *testing.T) {
	for _, test := range []struct {
		tags    []string
		record  bool
		version int
		encoded string
		ok      bool
	}{
		{nil, false, 0, "", true},
		{nil, true, 1, "", true},
		{[]string{"version:7", "help:x"}, true, 7, "", true},
		{[]string{"version:0"}, true, 0, "", false},
		{[]string{"version:new"}, true, 0, "", false},
		{[]string{"encoded:protobuf", "version:2"}, false, 2, "protobuf", true},
		{[]string{"encoded:protobuf"}, true, 0, "", false},
		{[]string{"help:x", "versoin:2"}, true, 0, "", false},
		{[]string{"help:x", "help:y"}, true, 0, "", false},
		{[]string{"help:x", "kind:gauge"}, true, 0, "", false},
		{[]string{"encoded"}, false, 0, "", false},
		{[]string{"comment:test_expect_success", "help:x"}, true, 1, "", true},
		// A foreign program has no tag of bpfview.h.
		{[]string{"comment:test_expect_success", "versoin:2"}, true, 1, "", true},
	} {
		b, err := btf.NewBuilder(nil, nil)
		if test.record {
			_, err = b.Add(emitting(everyStruct()))
		}
		if err != nil {
			t.Fatal(err)
		}
		types, err := b.Spec()
		if err != nil {
			t.Fatal(err)
		}
		got, err := TypeOf(types, test.tags, nil)
		if !test.ok {
			ktest.Errno(t, fmt.Sprint(test.tags), err, unix.ENOEXEC)
		} else if err != nil || got.version != test.version || got.encoded != test.encoded {
			t.Errorf("%q: %+v, %v", test.tags, got, err)
		}
	}
}

func emitting(s *btf.Struct) *btf.Func {
	params := []btf.FuncParam{{Name: "record", Type: &btf.Pointer{Target: &btf.Const{Type: s}}}}
	return &btf.Func{Name: "emit", Tags: []string{recordTag},
		Type: &btf.FuncProto{Return: s32, Params: params}}
}

// The types survive the way through an object's bytes.
func TestEveryKindSurvivesBTF(t *testing.T) {
	want := everyKind(t)
	b, err := btf.NewBuilder([]btf.Type{emitting(everyStruct())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	types, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	got, err := findRecord(types, nil)
	if err != nil || got.sum != want.sum {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
