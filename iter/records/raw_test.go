package records

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/iter/raw"
	"github.com/cilium/ebpf/btf"
)

func TestRaw(t *testing.T) {
	r := mustRecord(t, 3, member("a", 0, u8), member("b", 1, u8))
	o := written(r, []byte("abcdef"))
	out, err := o.Render(Raw, []byte("before!"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := raw.Parse(out[len("before!"):])
	if err != nil || got.Size != 3 || got.Version != 1 || got.Cgroup != 7 ||
		got.Hash != fmt.Sprintf("%x", r.sum) || string(got.Frames[0].Records) != "abcdef" {
		t.Errorf("%+v, %v", got, err)
	}
	o.tree = true
	o.Clear()
	a := o.Add(9, 0, "a")
	bc := o.Add(8, a, "bc")
	o.Write(0, []byte("abc"))
	o.Write(bc, []byte("abc"))
	o.Write(a, []byte("abcdef"))
	if out, err = o.Render(Raw, []byte("before!")); err != nil {
		t.Fatal(err)
	}
	got, err = raw.Parse(out[len("before!"):])
	if want := `[{7 . [97 98 99]} {8 a/bc []} {9 a [100 101 102]}]`; err != nil ||
		fmt.Sprint(got.Frames) != want {
		t.Errorf("%+v, %v, want %s", got, err, want)
	}
}

// FuzzRaw checks that a reader finds the bytes that were written.
func FuzzRaw(f *testing.F) {
	f.Add([]byte("some bytes of records"), []byte("a/b c"), uint8(3))
	f.Add([]byte{}, []byte("."), uint8(1))
	f.Fuzz(func(t *testing.T, content, path []byte, size uint8) {
		n := max(1, int(size))
		r := mustRecord(t, uint32(n), member("a", 0, &btf.Int{Name: "char", Size: 1}))
		content = slices.Clip(content[:len(content)/n*n])
		o := below(r, path, content)
		o.Write(0, append(o.Bytes(), content...))
		out, err := o.Render(Raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := raw.Parse(out)
		if err != nil || len(got.Frames) != 2 || got.Frames[0].Path != string(path) ||
			!bytes.Equal(got.Frames[1].Records, content) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestRawOfEncoded(t *testing.T) {
	var o Output
	o.Begin("v", Type{kind: "encoded", version: 3}, 7, true, 1000)
	o.Write(0, []byte("\x08\x01\x08\x02"))
	out, err := o.Render(Raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := raw.Parse(out)
	if err != nil || got.Size != 1 || got.Version != 3 || got.Hash != strings.Repeat("0", 16) ||
		string(got.Frames[0].Records) != "\x08\x01\x08\x02" {
		t.Errorf("%+v, %v", got, err)
	}
}
