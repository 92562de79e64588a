package memory

import (
	"runtime"
	"runtime/debug"
	"testing"
)

var garbage []byte

func TestPauseCollector(t *testing.T) {
	var before, after runtime.MemStats
	resume := PauseCollector()
	runtime.ReadMemStats(&before)
	for range 64 {
		garbage = make([]byte, 1<<20)
	}
	runtime.ReadMemStats(&after)
	resume()
	if after.NumGC != before.NumGC {
		t.Errorf("%d collections", after.NumGC-before.NumGC)
	}
	if percent := debug.SetGCPercent(100); percent != 100 {
		t.Errorf("GOGC is %d from then on", percent)
	}
}
