//go:build race

package fs

// Under the race detector a sync.Pool drops one of four buffers, so that mistakes show.
func init() { droppedByPools = 1 }
