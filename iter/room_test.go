package iter

import (
	"context"
	"errors"
	"testing"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/room"
	"bpfviewfs/iter/records"
)

// TestTreesAsk holds that a tree asks for the memory of its rows and of its rendering, in whatever way it
// is made, and ends with a refusal of either.
func TestTreesAsk(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{})
	id := ktest.CgroupID(t, testTree(t, h, 1000))
	check := func(name string, run func(ctx context.Context) ([]byte, error)) {
		t.Helper()
		try := func(left int64) (granted int64, out []byte, err error) {
			p := &room.Purse{Left: left}
			out, err = run(context.WithValue(t.Context(), room.Key{}, p))
			return p.Granted, out, err
		}
		granted, out, err := try(1 << 40)
		if err != nil || granted < int64(len(out))+1000*records.PartSize-2*room.Free {
			t.Errorf("%s: %d bytes are granted for %d (%v)", name, granted, len(out), err)
		}
		for _, left := range []int64{0, int64(len(out)) - room.Step} {
			if _, _, err := try(left); !errors.Is(err, room.ErrEmpty) {
				t.Errorf("%s: with %d bytes it ends with %v", name, left, err)
			}
		}
		if _, again, err := try(1 << 40); err != nil || len(again) == 0 {
			t.Errorf("%s: after that the result is %d bytes and %v", name, len(again), err)
		}
	}
	for way, v := range ways(t, views["psi"]) {
		check(way, func(ctx context.Context) ([]byte, error) {
			return v.Tree(ctx, records.Prom, id, nil, nil)
		})
	}
	psi, cpu := views["psi"], views["cpu"]
	check("union", func(ctx context.Context) ([]byte, error) {
		return psi.set.Union(ctx, []*View{cpu, psi}, records.JSON, true, id, nil, nil)
	})
}
