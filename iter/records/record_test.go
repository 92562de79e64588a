package records

import (
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/cilium/ebpf/btf"
)

var (
	u8   = &btf.Int{Name: "unsigned char", Size: 1}
	u32  = &btf.Typedef{Name: "__u32", Type: &btf.Int{Name: "unsigned int", Size: 4}}
	u64  = &btf.Int{Name: "unsigned long long", Size: 8}
	s16  = &btf.Int{Name: "short", Size: 2, Encoding: btf.Signed}
	s32  = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	char = &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	s128 = &btf.Int{Name: "__int128", Size: 16, Encoding: btf.Signed}
)

func text(n uint32) btf.Type { return &btf.Array{Index: u32, Type: char, Nelems: n} }

func member(name string, off uint32, t btf.Type, tags ...string) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: btf.Bits(off * 8), Tags: tags}
}

func mustRecord(t testing.TB, size uint32, members ...btf.Member) *record {
	t.Helper()
	r, err := newRecord(&btf.Struct{Name: "test_record", Size: size, Members: members})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// everyStruct has a member of every kind.
func everyStruct() *btf.Struct {
	protocol := &btf.Enum{Name: "protocol", Size: 4, Values: []btf.EnumValue{
		{Name: "PROTO_TCP", Value: 6}, {Name: "PROTO_UDP", Value: 17},
		{Name: "PROTO_UDP_LITE", Value: 136}}}
	return &btf.Struct{Name: "test_record", Size: 128, Members: []btf.Member{
		member("pid", 0, u32, "key", "help:process id"),
		member("protocol", 4, protocol),
		member("frozen", 8, &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}),
		member("level", 9, &btf.Int{Name: "signed char", Size: 1, Encoding: btf.Signed}, "kind:gauge",
			"help:how\ndeep \\ it is"),
		member("state", 10, char),
		member("usage_usec", 16, u64, "kind:counter", "unit:us", "optional"),
		member("rss_pages", 24, u64, "kind:gauge", "unit:pages"),
		member("peer", 32, &btf.Array{Index: u32, Type: u8, Nelems: 16}, "kind:address"),
		member("owner", 48, u64, "kind:cgroup"),
		member("wait_nsec", 56, &btf.Array{Index: u32, Type: u64, Nelems: 4}, "kind:histogram",
			"unit:ns", "help:how long"),
		member("wait_sum_nsec", 88, u64, "kind:counter", "unit:ns", "sum:wait_nsec"),
		member("comm", 96, text(16), "key"),
		member("delta_bytes", 112, &btf.Int{Name: "long long", Size: 8, Encoding: btf.Signed},
			"kind:gauge", "unit:bytes"),
	}}
}

func everyKind(t testing.TB) *record {
	t.Helper()
	s := everyStruct()
	return mustRecord(t, s.Size, s.Members...)
}

// oneOfEach is a record of everyKind.
func oneOfEach(r *record, pid int, comm string) []byte {
	peer := "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01"
	slots := "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x06\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00"
	return put(r, pid, 17, 1, -3, "S", 1500, 2, peer, 1<<53+1, slots, 45, comm, -1<<54)
}

func TestRecordErrors(t *testing.T) {
	pointer := &btf.Pointer{Target: u8}
	for name, s := range map[string]*btf.Struct{
		"empty":      {Name: "r"},
		"no members": {Name: "r", Size: 8},
		"too big": {Name: "r", Size: maxRecord + 8,
			Members: []btf.Member{member("a", 0, u64)}},
		"beyond the end": {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u64)}},
		"wraps":          {Name: "r", Size: 4, Members: []btf.Member{member("a", 1<<28, u32)}},
		"bit field": {Name: "r", Size: 4,
			Members: []btf.Member{{Name: "a", Type: u32, BitfieldSize: 3}}},
		"anonymous": {Name: "r", Size: 4, Members: []btf.Member{{Type: u32}}},
		"pointer":   {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, pointer)}},
		"float": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, &btf.Float{Name: "double", Size: 8})}},
		"wide": {Name: "r", Size: 16, Members: []btf.Member{member("a", 0, s128)}},
		"array of int": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, &btf.Array{Type: u32, Nelems: 2})}},
		"array of none": {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, text(0))}},
		"huge array":    {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, text(1<<31))}},
		"odd name":      {Name: "r", Size: 4, Members: []btf.Member{member("a.b", 0, u32)}},
		"reserved name": {Name: "r", Size: 4, Members: []btf.Member{member("cgroup", 0, u32)}},
		"short address": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, text(8), "kind:address")}},
		"short id": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "kind:cgroup")}},
		"one slot": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, &btf.Array{Type: u64, Nelems: 1},
				"kind:histogram")}},
		"65 slots": {Name: "r", Size: 520,
			Members: []btf.Member{member("a", 0, &btf.Array{Type: u64, Nelems: 65},
				"kind:histogram")}},
		"no histogram": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, u64, "kind:histogram")}},
		"sum of nothing": {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, u64, "sum:b")}},
		"other unit": {Name: "r", Size: 24, Members: []btf.Member{
			member("a", 0, &btf.Array{Type: u64, Nelems: 2}, "kind:histogram", "unit:ns"),
			member("b", 16, u64, "sum:a")}},
		"one metric": {Name: "r", Size: 16, Members: []btf.Member{
			member("a_nsec", 0, u64, "kind:gauge", "unit:ns"),
			member("a_usec", 8, u64, "kind:gauge", "unit:us")}},
		"info": {Name: "r", Size: 8,
			Members: []btf.Member{member("info", 0, u64, "kind:gauge")}},
		"unknown tag": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "hlep:it")}},
		"unknown kind": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "kind:gague")}},
		"unknown unit": {Name: "r", Size: 8,
			Members: []btf.Member{member("a_msec", 0, u64, "kind:gauge", "unit:ms")}},
		"a program's tag": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "version:1")}},
		"twice": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "key", "key")}},
		"two kinds": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "kind:gauge", "kind:counter")}},
		"no value": {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "help")}},
		"value":    {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "key:2")}},
		"key and gauge": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "key", "kind:gauge")}},
		"key and total": {Name: "r", Size: 4,
			Members: []btf.Member{member("a", 0, u32, "key", "total")}},
		"usec in ns": {Name: "r", Size: 8,
			Members: []btf.Member{member("a_usec", 0, u64, "unit:ns")}},
		"bytes in pages": {Name: "r", Size: 8,
			Members: []btf.Member{member("a_bytes", 0, u64, "kind:gauge", "unit:pages")}},
		"unit not named": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, u64, "unit:ns")}},
		"unit not tagged": {Name: "r", Size: 8,
			Members: []btf.Member{member("a_nsec", 0, u64, "kind:counter")}},
		"unit of text": {Name: "r", Size: 8,
			Members: []btf.Member{member("a_nsec", 0, text(8), "unit:ns")}},
		"gauge of text": {Name: "r", Size: 8,
			Members: []btf.Member{member("a", 0, text(8), "kind:gauge")}},
		"gauge of a name": {Name: "r", Size: 4, Members: []btf.Member{
			member("a", 0, &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "X_A"}}},
				"kind:gauge")}},
	} {
		_, err := newRecord(s)
		ktest.Errno(t, name, err, syscall.ENOEXEC)
	}
}

func TestFindRecord(t *testing.T) {
	s := &btf.Struct{Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "key")}}
	emit := func(params ...btf.FuncParam) *btf.Func {
		return &btf.Func{Name: "emit", Type: &btf.FuncProto{Params: params, Return: s32},
			Tags: []string{"bpfview:record"}}
	}
	pointer := &btf.Pointer{Target: &btf.Const{Type: s}}
	for _, test := range []struct {
		name  string
		types []btf.Type
		found bool
		ok    bool
	}{
		{"text view", []btf.Type{s}, false, true},
		{"record view", []btf.Type{emit(btf.FuncParam{Name: "record", Type: pointer})}, true, true},
		{"no parameter", []btf.Type{emit()}, false, false},
		{"no pointer", []btf.Type{emit(btf.FuncParam{Name: "record", Type: u32})}, false, false},
		{"no struct",
			[]btf.Type{emit(btf.FuncParam{Name: "record", Type: &btf.Pointer{Target: u32}})},
			false, false},
		{"two", []btf.Type{
			emit(btf.FuncParam{Name: "record", Type: pointer}),
			&btf.Func{Name: "emit2",
				Type: &btf.FuncProto{Params: []btf.FuncParam{{Name: "r", Type: pointer}},
					Return: s32}, Tags: []string{recordTag}},
		}, false, false},
	} {
		b, err := btf.NewBuilder(test.types, nil)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := b.Spec()
		if err != nil {
			t.Fatal(err)
		}
		r, err := findRecord(spec, nil)
		if !test.ok {
			ktest.Errno(t, test.name, err, syscall.ENOEXEC)
			continue
		}
		if err != nil || (r != nil) != test.found {
			t.Errorf("%s: found %v, %v", test.name, r, err)
		}
	}
}

func TestTotalErrors(t *testing.T) {
	for name, s := range map[string]*btf.Struct{
		"no key": {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, u64, "total")}},
		"optional": {Name: "r", Size: 16, Members: []btf.Member{member("k", 0, u64, "key"),
			member("a", 8, u64, "total", "optional")}},
		"text": {Name: "r", Size: 16, Members: []btf.Member{member("k", 0, u64, "key"),
			member("a", 8, text(8), "total")}},
	} {
		_, err := newRecord(s)
		ktest.Errno(t, name, err, syscall.ENOEXEC)
	}
}
