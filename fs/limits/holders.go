package limits

import (
	"cmp"
	"slices"
)

// Holder is a user whose open files, directories and runs hold memory.
type Holder struct {
	UID     uint32 `json:"uid"`
	Files   int64  `json:"open_files"`
	Held    int64  `json:"held_bytes"`
	Running int    `json:"runs"`         // under way
	Waiting int    `json:"waiting_runs"` // for their turn
}

// Holders are the n users who hold most, and the bytes that all users hold together.
func (l *Limiter) Holders(n int) (most []Holder, all int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most = []Holder{}
	for _, a := range l.accounts {
		if a.uses > 0 {
			most = append(most, Holder{a.uid, a.files, a.held, a.running, len(a.queue)})
		}
		all += a.held
	}
	slices.SortFunc(most, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(b.Held, a.Held), cmp.Compare(a.UID, b.UID))
	})
	return most[:min(n, len(most))], all
}
