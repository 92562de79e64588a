package replay

import (
	"strings"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// forms are the ways to write a time, and its precision.
var forms = []struct {
	layout    string
	precision time.Duration
}{
	{time.RFC3339, time.Second}, // also with a fraction
	{time.DateTime, time.Second}, {"2006-01-02T15:04:05", time.Second},
	{"2006-01-02 15:04", time.Minute}, {"2006-01-02T15:04", time.Minute},
	{time.TimeOnly, time.Second}, {"15:04", time.Minute},
}

// Find is the snapshot at a time: the first one within that second or minute, or else the last one before.
// The time is in this machine's time zone. Without a date it is the last such time in the recording, and -10m
// is ten minutes before the last snapshot. No word is the last snapshot. The error wraps unix.EINVAL. If the
// clock was set back meanwhile, a time may be there twice.
func Find(r *recording.Reader, word string) (int, error) {
	n := r.Len()
	if word == "" {
		return n - 1, nil
	}
	at, precision, ok := parse(word, r.Time(n-1))
	if !ok {
		return 0, errno.Errorf(unix.EINVAL, "%q is no time: give one as 15:04, 15:04:05, "+
			"'2006-01-02 15:04', or -10m, before the last snapshot", word)
	}
	first, last, before := r.Time(0), r.Time(0), -1
	for i := range n {
		t := r.Time(i)
		if t.Equal(at) || t.After(at) && t.Before(at.Add(precision)) {
			return i, nil
		}
		if t.Before(at) && (before < 0 || !t.Before(r.Time(before))) {
			before = i
		}
		if t.Before(first) {
			first = t
		} else if t.After(last) {
			last = t
		}
	}
	if before < 0 || at.After(last) {
		return 0, errno.Errorf(unix.EINVAL, "the recording has nothing at %s: it is from %s to %s", word,
			first.Format(time.DateTime), last.Format(time.DateTime))
	}
	return before, nil
}

func parse(word string, last time.Time) (at time.Time, precision time.Duration, ok bool) {
	if back, isBack := strings.CutPrefix(word, "-"); isBack {
		d, err := time.ParseDuration(back)
		return last.Add(-d), 0, err == nil && d >= 0
	}
	for _, form := range forms {
		at, err := time.ParseInLocation(form.layout, word, last.Location())
		if err != nil {
			continue
		}
		if at.Year() == 0 {
			at = time.Date(last.Year(), last.Month(), last.Day(), at.Hour(), at.Minute(), at.Second(), 0,
				last.Location())
			if at.After(last) {
				at = at.AddDate(0, 0, -1)
			}
		}
		return at, form.precision, true
	}
	return time.Time{}, 0, false
}
