// Package errorlog keeps the texts of the last errors that readers got.
package errorlog

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Log has the last [Most] errors. If there are more, the user with most of them loses the oldest, so no user
// can push out the errors of others.
type Log struct {
	mu    sync.Mutex
	lines []line // oldest first
}

type line struct {
	uid  uint32
	text string
}

// Most is how many errors are kept.
const Most = 100

// Add keeps the text of an error that a user got just now.
func (l *Log) Add(uid uint32, text string) {
	text = fmt.Sprintf("%s %s\n", time.Now().UTC().Format(time.RFC3339), text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines = append(l.lines, line{uid, text}); len(l.lines) <= Most {
		return
	}
	lines := make(map[uint32]int)
	for _, line := range l.lines {
		lines[line.uid]++
	}
	oldest := 0
	for i, line := range l.lines {
		if lines[line.uid] > lines[l.lines[oldest].uid] {
			oldest = i
		}
	}
	l.lines = slices.Delete(l.lines, oldest, oldest+1)
}

// Append appends the errors, a line each, oldest first.
func (l *Log) Append(dst []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		dst = append(dst, line.text...)
	}
	return dst
}
