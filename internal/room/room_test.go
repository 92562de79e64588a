package room

import (
	"context"
	"errors"
	"testing"
)

type owner struct {
	granted int64
	err     error
}

func (o *owner) Take(bytes int64) error {
	o.granted += bytes
	return o.err
}

func TestRoom(t *testing.T) {
	full := errors.New("full")
	for _, c := range []struct {
		name    string
		takes   []int64
		granted int64
	}{
		{"nothing", nil, 0},
		{"free bytes", []int64{Free / 2, Free / 2}, 0},
		{"one more", []int64{Free, 1}, Step},
		{"a step and its end", []int64{Free + 1, Step - 1}, Step},
		{"two steps", []int64{Free + Step + 1}, 2 * Step},
		{"many at once", []int64{1 << 30}, 1 << 30}, // it is a whole number of steps
	} {
		var r Room
		o := new(owner)
		r.Begin(context.WithValue(t.Context(), Key{}, o))
		var taken int64
		for _, n := range c.takes {
			taken += n
			if err := r.Take(n); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if taken > o.granted+Free {
				t.Errorf("%s: %d bytes are taken, and %d granted", c.name, taken, o.granted)
			}
		}
		if o.granted != c.granted || o.granted > max(taken-Free, 0)+Step {
			t.Errorf("%s: %d bytes are granted for %d", c.name, o.granted, taken)
		}
		o.err = full
		if err := r.Take(Step); err != full {
			t.Errorf("%s: the refusal is %v", c.name, err)
		}
	}
	var alone Room
	for range 2 {
		if err := alone.Take(1 << 40); err != nil {
			t.Errorf("without an owner: %v", err)
		}
	}
}
