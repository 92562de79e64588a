package records

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"bpfviewfs/internal/room"
)

// TestRenderAsks holds that a large rendering asks for its memory in every format, at most one step ahead,
// and that it ends with a refusal.
func TestRenderAsks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := randomRecord(t, rnd)
	row := randomBytes(rnd, r.size)
	large := func(p *room.Purse) *Output {
		o := &Output{record: r, version: 1, view: "test", tree: true, limit: 1 << 30}
		o.Room.Begin(context.WithValue(t.Context(), room.Key{}, p))
		o.Add(1, 0, ".")
		for i := range 20_000 {
			o.Write(o.Add(uint64(2+i), 0, fmt.Sprintf("user-%d.slice", i)), append(o.Bytes(), row...))
		}
		return o
	}
	for _, f := range []Format{Text, JSON, Prom, Raw, Textfile} {
		t.Run(f.String(), func(t *testing.T) {
			p := &room.Purse{Left: 1 << 40}
			dst, err := large(p).Render(f, make([]byte, 100))
			if err != nil {
				t.Fatal(err)
			}
			size := int64(len(dst) - 100)
			if size < room.Step || p.Granted < size-2*room.Free || p.Granted > size+room.Step {
				t.Errorf("%d bytes are granted for %d", p.Granted, size)
			}
			p = &room.Purse{Left: size - room.Step}
			if dst, err := large(p).Render(f, nil); err != room.ErrEmpty {
				t.Errorf("a refused rendering gives %d bytes and %v", len(dst), err)
			}
		})
	}
}
