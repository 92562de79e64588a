package buffers

import (
	"bytes"
	"testing"
)

// A run of a tree stays where it was rendered. Its memory is used again for a while, unless it is much.
func TestMappedRuns(t *testing.T) {
	endSpares()
	t.Cleanup(endSpares)
	render := func(size int) (*Run, *mapped) {
		s := new(Scratch)
		data := append(s.room(true), bytes.Repeat([]byte("x"), size)...)
		m := s.mapped
		r := s.Hold(data, 1)
		s.End(len(data))
		if len(r.Data) != size || bytes.Count(r.Data, []byte("x")) != size || r.Time != 1 {
			t.Errorf("%d bytes of %d are held", len(r.Data), size)
		}
		return r, m
	}
	large, m := render(8 << 20)
	other, m2 := render(1 << 20)
	if large.mapped != m || other.mapped != m2 || &large.Data[0] != &m.mem[0] || m == m2 {
		t.Error("the runs are not where they were rendered")
	}
	large.Done()
	small, again := render(100)
	if small.mapped != nil || again != m {
		t.Error("a small run takes a mapping, or the spare is not used")
	}
	if medium, m := render(1 << 20); medium.mapped != m || m.used > 2<<20 {
		t.Errorf("a run of 1 MiB holds %d bytes", m.used)
	} else {
		medium.Done()
	}
	huge, _ := render(spareSize + 1)
	huge.Done()
	other.Done()
	small.Done()
	for _, m := range spares.free {
		if m.used > spareSize {
			t.Errorf("a spare of %d bytes", m.used)
		}
	}
	if len(spares.free) == 0 || len(spares.free) > mostSpares {
		t.Errorf("%d spares", len(spares.free))
	}
	endSpares()
	if len(spares.free) > 0 {
		t.Error("spares are kept for ever")
	}
}
