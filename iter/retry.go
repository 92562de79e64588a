package iter

import (
	"errors"
	"time"

	"bpfviewfs/iter/sources"
	"golang.org/x/sys/unix"
)

// A view that does not load is tried again after firstRetry, then after twice the time, up to lastRetry. An
// event in the places of views brings the next try forward. A view takes at most a small part of a CPU.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	retryShare = 50 // times as long as a try takes is the time to the next one, at least
)

// retry says when a view is tried again that failed for a reason that may pass. The zero retry is never.
type retry struct {
	tried, at time.Time
	took      time.Duration
	delay     time.Duration
}

// mayPass reports whether a view may load another time though its source stays as it is: a user, a
// tracepoint or a module may appear, and memory may be freed. A fault of the object does not pass.
func mayPass(err error) bool {
	if absence, ok := errors.AsType[*sources.Absence](err); ok {
		return absence.Passing
	}
	return err != nil && !errors.Is(err, unix.ENOEXEC)
}

// after plans the try after one that began at a time and ended now with err.
func (r retry) after(begun time.Time, err error) retry {
	if !mayPass(err) {
		return retry{}
	}
	now := time.Now()
	next := retry{tried: now, took: now.Sub(begun), delay: min(max(firstRetry, 2*r.delay), lastRetry)}
	next.at = now.Add(max(next.delay, retryShare*next.took))
	return next
}

// due reports whether it is time. An event begins the delays anew.
func (r *retry) due(event bool) bool {
	if r.at.IsZero() {
		return false
	}
	if event {
		r.delay = 0
		if soon := r.tried.Add(max(firstRetry, retryShare*r.took)); soon.Before(r.at) {
			r.at = soon
		}
	}
	return !time.Now().Before(r.at)
}

// nextRetry is the time of the next try of any view, the zero time for none.
func (s *Set) nextRetry() (next time.Time) {
	for _, v := range *s.views.Load() {
		if at := v.retry.at; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}
