package programs

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/iter/sources"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

func variable(t btf.Type, size int) *ebpf.VariableSpec {
	return &ebpf.VariableSpec{SectionName: ".rodata", Value: bytes.Repeat([]byte{0xee}, size),
		Type: &btf.Var{Type: t, Linkage: btf.GlobalVar}}
}

func TestParameters(t *testing.T) {
	integer := func(size uint32, e btf.IntEncoding) *btf.Int {
		return &btf.Int{Name: "t", Size: size, Encoding: e}
	}
	text := &btf.Array{Type: &btf.Typedef{Type: integer(1, btf.Char)}, Nelems: 4}
	kinds := map[string]*ebpf.VariableSpec{
		"u8": variable(integer(1, btf.Unsigned), 1), "s8": variable(integer(1, btf.Signed), 1),
		"u16": variable(integer(2, btf.Unsigned), 2), "s32": variable(integer(4, btf.Signed), 4),
		"u64":  variable(&btf.Const{Type: &btf.Volatile{Type: integer(8, btf.Unsigned)}}, 8),
		"s64":  variable(integer(8, btf.Signed), 8),
		"bool": variable(integer(1, btf.Bool), 1), "enum": variable(&btf.Enum{Size: 4}, 4),
		"text":   variable(text, 4),
		"struct": variable(&btf.Struct{Size: 4}, 4),
		"static": {SectionName: ".rodata", Value: make([]byte, 4),
			Type: &btf.Var{Type: integer(4, btf.Unsigned), Linkage: btf.StaticVar}},
		"data": {SectionName: ".data", Value: make([]byte, 4),
			Type: &btf.Var{Type: integer(4, btf.Unsigned), Linkage: btf.GlobalVar}},
	}
	for _, test := range []struct {
		set  string // as in NAME.yaml
		want string // bytes in hex, or after a ! a part of the error
	}{
		{"u8: 255", "ff"}, {"u8: 0", "00"}, {"u8: 256", "!256 does not fit into its 8 bits"},
		{"u8: -1", "!does not fit"},
		{"s8: 127", "7f"}, {"s8: -128", "80"}, {"s8: 128", "!does not fit"},
		{"s8: -129", "!does not fit"},
		{"u16: 0x1234", "3412"}, {"u16: 65536", "!does not fit"},
		{"s32: -2", "feffffff"}, {"s32: 2147483648", "!does not fit"},
		{"u64: 18446744073709551615", "ffffffffffffffff"}, {"u64: -1", "!does not fit"},
		{"u64: 9223372036854775807", "ffffffffffffff7f"},
		{"s64: 9223372036854775808", "!does not fit"},
		{"s64: -9223372036854775808", "0000000000000080"},
		{"bool: true", "01"}, {"bool: false", "00"}, {"bool: 1", "!1 is given for"},
		{"u8: true", "!true is given for"},
		{"enum: 3", "03000000"}, {"enum: true", "!no whole number"},
		{"text: abc", "61626300"}, {"text: ''", "00000000"},
		{"text: abcd", "!4 bytes of text are given, 3 fit"},
		{"text: 1", "!neither a number"}, {"u8: a", "!no char array"},
		{"struct: 1", "!neither a number"},
		{"static: 1", "!no global variable"}, {"data: 1", "01000000"},
		{"unknown: 1", "!no global variable"},
	} {
		s, err := sources.ParseSettings([]byte("parameters: {" + test.set + "}"))
		if err != nil {
			t.Errorf("%s: %v", test.set, err)
			continue
		}
		o := &Object{spec: (&ebpf.CollectionSpec{Variables: kinds}).Copy()}
		err = o.Set(s.Parameters)
		name, _, _ := strings.Cut(test.set, ":")
		if says, ok := strings.CutPrefix(test.want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v does not say %q", test.set, err, says)
				continue
			}
			ktest.Errno(t, test.set, err, syscall.EINVAL)
			continue
		}
		if err != nil || fmt.Sprintf("%x", o.spec.Variables[name].Value) != test.want {
			t.Errorf("%s: %x, want %s, %v",
				test.set, o.spec.Variables[name].Value, test.want, err)
		}
	}
}
