// Package room lets a run ask for memory before it takes it, and keep none that it does not need. The context
// of the run has an [Owner], and the run asks through a [Room].
package room

import (
	"context"
	"math"
	"unsafe"
)

// Owner grants the memory of one run. Take counts more bytes for the run until it has ended. An error ends
// the run.
type Owner interface{ Take(bytes int64) error }

// Key is the key of the Owner in a context. A run without one may take anything.
type Key struct{}

// Bytes of a run that nobody is asked for, and bytes that are asked for at one time.
const (
	Free = 64 << 10
	Step = 256 << 10
)

// Room has the bytes that were granted to a run and not taken yet.
type Room struct {
	ctx  context.Context
	left int64
}

// Begin begins a run, of which the first bytes are free.
func (r *Room) Begin(ctx context.Context) { r.ctx, r.left = ctx, Free }

// Take is called before the run takes more bytes.
func (r *Room) Take(bytes int64) error {
	if r.left -= bytes; r.left >= 0 {
		return nil
	}
	return r.ask()
}

func (r *Room) ask() error {
	var owner Owner
	if r.ctx != nil {
		owner, _ = r.ctx.Value(Key{}).(Owner)
	}
	if owner == nil {
		r.left = math.MaxInt64
		return nil
	}
	more := (Step - 1 - r.left) / Step * Step
	r.left += more
	return owner.Take(more)
}

// Within is s, or nil if it holds more bytes than that. So memory that only a giant run needed is not kept.
func Within[T any](s []T, bytes int) []T {
	var t T
	if cap(s)*int(unsafe.Sizeof(t)) > bytes {
		return nil
	}
	return s
}
