// Package panics describes panics that were recovered.
package panics

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// Log logs panics, each place once. The zero value is ready.
type Log struct{ seen sync.Map }

// Recovered logs a panic with its stack, unless an earlier one was at the same place. It is called by the
// deferred function that has recovered the panic, or below it. The place is a function, file and line.
func (l *Log) Recovered(logf func(format string, args ...any), what string, cause any) (place string) {
	place = Place()
	if _, again := l.seen.LoadOrStore(place, true); !again && logf != nil {
		logf("%s: panic in %s: %v; the next ones there are not logged\n%s",
			what, place, cause, debug.Stack())
	}
	return place
}

// Place returns where the panic was that a caller's deferred function has recovered: function, file and line.
func Place() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for panicked, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case panicked && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf("%s (%s:%d)",
				filepath.Base(f.Function), filepath.Base(f.File), f.Line)
		}
	}
	return "an unknown place"
}
