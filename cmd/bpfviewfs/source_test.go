package main

import (
	"testing"

	"bpfviewfs/cmd/bpfviewfs/memory"
	"bpfviewfs/mount"
)

// The longest run follows the memory unless max_run= is given.
func TestLongestRun(t *testing.T) {
	for words, want := range map[string]int64{"": memory.LongestRun(), "max_run=3M": 3 << 20} {
		o, err := mount.ParseOptions(words)
		if err != nil {
			t.Fatal(err)
		}
		if got := config(o).MaxRun; got != want {
			t.Errorf("%q: %d bytes, want %d", words, got, want)
		}
	}
}
