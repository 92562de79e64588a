package iter

import (
	"errors"
	"syscall"
	"testing"

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

func text(n uint32) btf.Type { return &btf.Array{Type: char, Nelems: n} }

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

func TestRecordErrors(t *testing.T) {
	pointer := &btf.Pointer{Target: u8}
	for name, s := range map[string]*btf.Struct{
		"empty":           {Name: "r"},
		"no members":      {Name: "r", Size: 8},
		"too big":         {Name: "r", Size: maxRecord + 8, Members: []btf.Member{member("a", 0, u64)}},
		"beyond the end":  {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u64)}},
		"wraps":           {Name: "r", Size: 4, Members: []btf.Member{member("a", 1<<28, u32)}},
		"bit field":       {Name: "r", Size: 4, Members: []btf.Member{{Name: "a", Type: u32, BitfieldSize: 3}}},
		"anonymous":       {Name: "r", Size: 4, Members: []btf.Member{{Type: u32}}},
		"pointer":         {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, pointer)}},
		"float":           {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, &btf.Float{Name: "double", Size: 8})}},
		"wide":            {Name: "r", Size: 16, Members: []btf.Member{member("a", 0, s128)}},
		"array of int":    {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, &btf.Array{Type: u32, Nelems: 2})}},
		"array of none":   {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, text(0))}},
		"huge array":      {Name: "r", Size: 8, Members: []btf.Member{member("a", 0, text(1<<31))}},
		"width of a word": {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "width:wide")}},
		"width of zero":   {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "width:0")}},
		"width of a mile": {Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "width:65")}},
	} {
		_, err := newRecord(s)
		checkErrno(t, name, err, syscall.ENOEXEC)
	}
}

// checkErrno holds an error to be one line that wraps the errno.
func checkErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	var errno syscall.Errno
	if !errors.As(err, &errno) || errno != want {
		t.Errorf("%s: error %v, want one that wraps %v", what, err, want)
		return
	}
	for _, c := range err.Error() {
		if c == '\n' {
			t.Errorf("%s: error has more than one line: %q", what, err)
			return
		}
	}
}

func TestFindRecord(t *testing.T) {
	s := &btf.Struct{Name: "r", Size: 4, Members: []btf.Member{member("a", 0, u32, "key")}}
	emit := func(params ...btf.FuncParam) *btf.Func {
		return &btf.Func{Name: "emit", Type: &btf.FuncProto{Params: params, Return: s32}, Tags: []string{"bpfview:record"}}
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
		{"no struct", []btf.Type{emit(btf.FuncParam{Name: "record", Type: &btf.Pointer{Target: u32}})}, false, false},
		{"two", []btf.Type{
			emit(btf.FuncParam{Name: "record", Type: pointer}),
			&btf.Func{Name: "emit2", Type: &btf.FuncProto{Params: []btf.FuncParam{{Name: "r", Type: pointer}}, Return: s32}, Tags: []string{recordTag}},
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
		r, err := findRecord(spec)
		if !test.ok {
			checkErrno(t, test.name, err, syscall.ENOEXEC)
			continue
		}
		if err != nil || (r != nil) != test.found {
			t.Errorf("%s: found %v, %v", test.name, r, err)
		}
	}
}
