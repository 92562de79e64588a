package records

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"strings"
	"testing"

	"bpfviewfs/internal/plain"
	"github.com/cilium/ebpf/btf"
)

// FuzzTypeOf reads types from any bytes in place of an object's BTF. An accepted type is rendered in every
// format, and describes itself in a schema that acts on no terminal.
func FuzzTypeOf(f *testing.F) {
	for _, view := range []string{"cpu", "sockets", "runqlat"} {
		object, err := elf.Open("../../bpf/" + view + ".bpf.o")
		if err != nil {
			f.Fatal(err)
		}
		types, err := object.Section(".BTF").Data()
		object.Close()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(types, "help:x\x1b\xff")
	}
	f.Add([]byte{}, "version:1")
	f.Fuzz(func(t *testing.T, raw []byte, tag string) {
		types, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			return
		}
		typ, err := TypeOf(types, []string{tag}, nil)
		if err != nil || typ.record == nil {
			return
		}
		schema := typ.Schema("view")
		if !json.Valid(schema) {
			t.Fatalf("the schema is no JSON: %q", schema)
		}
		for _, text := range []string{string(schema), typ.Help()} {
			if at := strings.IndexFunc(text, func(r rune) bool {
				return !plain.Rune(r) && r != '\n'
			}); at >= 0 {
				t.Fatalf("%q is in %q", text[at:min(at+4, len(text))], text)
			}
		}
		for _, format := range typ.Formats(true) {
			var o Output
			o.Begin("view", typ, 1, true, 1<<20)
			o.Write(0, bytes.Repeat([]byte{0x1b}, 2*typ.record.size))
			if _, err := o.Render(format, nil); err != nil {
				t.Fatalf("%s: %v", format, err)
			}
		}
	})
}
