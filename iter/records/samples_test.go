package records

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/samples"
)

// TestSamples holds that raw output and its schema give the text of [Textfile], or say that it has to be read.
func TestSamples(t *testing.T) {
	rnd := rand.New(rand.NewPCG(13, 1))
	same := 0
	for range 6000 {
		typ := Type{kind: "record", record: randomRecord(t, rnd), version: 1,
			most: []int{0, 5, 1000}[rnd.IntN(3)]}
		page, err := samples.New(typ.Schema("test"))
		if errors.Is(err, samples.ErrText) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		o := randomOutputOf(typ.record, rnd)
		o.most = typ.most
		if rnd.IntN(8) > 0 {
			nameKeys(o, rnd)
		}
		raw, err := o.Render(Raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = page.Read(raw, func(path []byte) string { return string(path) + `"` })
		if errors.Is(err, samples.ErrText) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, block := range page.Blocks(1 + rnd.IntN(9)) {
			if err := page.Write(&got, append(make([]byte, 0, rnd.IntN(500)), block.Comments...), block); err != nil {
				t.Fatal(err)
			}
		}
		want, err := o.Render(Textfile, nil)
		if err != nil || got.String() != string(want) {
			t.Fatalf("%v\n%s\nwant\n%s\nof %s", err, &got, want, typ.Schema(o.view))
		}
		if len(want) > 0 {
			same++
		}
	}
	if same < 100 {
		t.Errorf("only %d pages were compared", same)
	}
}

// nameKeys gives most keys values that have names, and leaves a record of each, in order.
func nameKeys(o *Output, rnd *rand.Rand) {
	for i := range o.parts {
		p := &o.parts[i]
		for at := p.raw; at < p.rawEnd; at += o.record.size {
			for _, k := range o.record.keys {
				c := &o.record.columns[k]
				b := c.bytes(o.raw[at:])
				if c.kind == boolean {
					b[0] = byte(rnd.IntN(2))
				} else {
					binary.NativeEndian.PutUint32(b, []uint32{0, 3, 1<<32 - 1}[rnd.IntN(3)])
				}
			}
		}
		o.sort(p)
		var sorted []byte
		for rec := range slices.Chunk(o.raw[p.raw:p.rawEnd], o.record.size) {
			if len(sorted) == 0 || o.record.compare(sorted[len(sorted)-o.record.size:], rec) != 0 {
				sorted = append(sorted, rec...)
			}
		}
		p.rawEnd = p.raw + copy(o.raw[p.raw:], sorted)
	}
}
