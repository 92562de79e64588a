package records

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"bpfviewfs/internal/baseunits"
	"github.com/cilium/ebpf/btf"
)

// randomRecord is a record type of some members of any kind.
func randomRecord(t testing.TB, rnd *rand.Rand) *record {
	t.Helper()
	s := &btf.Struct{Name: "test_record"}
	first := 8 * (rnd.IntN(3) / 2) // numbers alone are shown in a way of their own
	for i := range 1 + rnd.IntN(9) {
		name := fmt.Sprintf("m%d", i)
		var tags []string
		sometimes := func(tag string) {
			if rnd.IntN(3) == 0 {
				tags = append(tags, tag)
			}
		}
		sometimes("optional")
		sometimes("key")
		key := slices.Contains(tags, "key")
		metric := func(kinds ...string) {
			if !key {
				sometimes("kind:" + kinds[rnd.IntN(len(kinds))])
			}
		}
		var kind btf.Type
		switch first + rnd.IntN(8) {
		case 0:
			kind = text(1 + uint32(rnd.IntN(20)))
		case 1:
			kind = char
			sometimes("by")
		case 2:
			kind = &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
			metric("gauge")
			sometimes("by")
		case 3:
			kind, tags = &btf.Array{Index: u32, Type: u8, Nelems: 16},
				append(tags, "kind:address")
		case 4:
			kind = &btf.Array{Index: u32, Type: u64, Nelems: 2 + uint32(rnd.IntN(20))}
			tags = slices.DeleteFunc(append(tags, "kind:histogram", "unit:ns"),
				func(tag string) bool { return tag == "key" })
			name += "_nsec"
		case 5:
			kind = &btf.Enum{Size: 4, Signed: rnd.IntN(2) == 0, Values: []btf.EnumValue{
				{Name: "E_NONE"}, {Name: "E_MORE", Value: 3},
				{Name: "E_MOST", Value: 1 << 31}, {Name: "E_LESS", Value: 1<<64 - 1}}}
			sometimes("by")
		default:
			kind = []btf.Type{u8, s16, u32, s32, u64,
				&btf.Int{Name: "long long", Size: 8, Encoding: btf.Signed}}[rnd.IntN(6)]
			metric("gauge", "counter")
			if rnd.IntN(3) == 0 {
				unit := []string{"ns", "us", "pages", "bytes", "ppm"}[rnd.IntN(5)]
				tags, name = append(tags, "unit:"+unit), name+baseunits.Units[unit].Suffix
			}
			if slices.Contains(tags, "kind:gauge") {
				sometimes("add")
			}
		}
		size, err := btf.Sizeof(kind)
		if err != nil {
			t.Fatal(err)
		}
		s.Members = append(s.Members, member(name, s.Size, kind, tags...))
		s.Size += uint32(size)
	}
	return mustRecord(t, s.Size, s.Members...)
}

// randomBytes are bytes like those of records, names and values. Small numbers, absent ones and any others
// come.
func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+32)
	for len(b) < n {
		switch rnd.IntN(6) {
		case 0:
			b = append(b, make([]byte, 1+rnd.IntN(12))...)
		case 1:
			b = append(b, bytes.Repeat([]byte{0xff}, 1+rnd.IntN(24))...)
		case 2:
			b = append(b, []string{"plain", "two words", "\n\t\\\"", "\u00e9\u202e\ufffd",
				"\xff\xe2\x82", "\x00"}[rnd.IntN(6)]...)
		case 3:
			b = append(b, byte(rnd.Uint32()), 0, 0, 0, 0, 0, 0, 0)
		default:
			b = binary.NativeEndian.AppendUint64(b, rnd.Uint64()>>rnd.IntN(64))
		}
	}
	return b[:n]
}

func randomName(rnd *rand.Rand) string {
	if rnd.IntN(2) > 0 {
		return fmt.Sprintf("c%d", rnd.IntN(1000))
	}
	name := bytes.Trim(bytes.ReplaceAll(randomBytes(rnd, 1+rnd.IntN(20)), []byte{0}, []byte("n")), "/")
	return "c" + string(bytes.ReplaceAll(name, []byte("/"), []byte("-")))
}

// randomOutput is the output of a run, about one cgroup or a small tree.
func randomOutput(t testing.TB, rnd *rand.Rand) *Output {
	t.Helper()
	return randomOutputOf(randomRecord(t, rnd), rnd)
}

func randomOutputOf(r *record, rnd *rand.Rand) *Output {
	o := &Output{record: r, version: 1, view: "test", cgroup: 7, limit: 1 << 30,
		help: string(randomBytes(rnd, rnd.IntN(9)))}
	row := randomBytes(rnd, r.size)
	rows := func() (from, to int) {
		from = len(o.raw)
		for range rnd.IntN(4) {
			switch rnd.IntN(4) { // otherwise the same again
			case 0: // in part
				at := rnd.IntN(r.size)
				row = append(slices.Clone(row[:at]), randomBytes(rnd, r.size-at)...)
			case 1:
				at := rnd.IntN(r.size)
				row = append(randomBytes(rnd, at), row[at:]...)
			case 2:
				row = randomBytes(rnd, r.size)
			}
			o.raw = append(o.raw, row...)
		}
		return from, len(o.raw)
	}
	o.Add(7, 0, ".")
	if o.tree = rnd.IntN(4) > 0; !o.tree {
		_, to := rows()
		o.parts = []part{{rawEnd: to}}
		return o
	}
	for i := range rnd.IntN(20) {
		o.Add(8+rnd.Uint64()>>rnd.IntN(64), rnd.IntN(i+1), randomName(rnd))
	}
	for n := range o.Len() {
		if rnd.IntN(5) > 0 { // otherwise it has died
			from, to := rows()
			o.parts = append(o.parts, part{number: n, raw: from, rawEnd: to})
		}
	}
	return o
}
