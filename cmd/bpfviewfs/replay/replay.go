// Package replay reads a recording for the screen of top and for show, and dumps it.
package replay

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter/raw"
)

// Reader reads a recording as if it were now. The view cpu goes on to the next snapshot.
type Reader struct {
	mu        sync.Mutex
	recording *recording.Reader
	at        int
	target    int     // the snapshot that shall be shown
	kept      [2]kept // the last two that were read
}

type kept struct {
	at    int
	parts []recording.Part
}

// warm is how many snapshots before the target are read for its rates and plots.
const warm = 60

// New reads a recording, for a screen that begins with a snapshot.
func New(r *recording.Reader, target int) *Reader {
	return &Reader{recording: r, at: max(0, target-warm) - 1, target: target}
}

// More reports whether the snapshot that shall be shown is still to come.
func (r *Reader) More() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at < r.target
}

// Move chooses a snapshot that is further by a time, or back, at least by one. It reports whether the
// snapshots do not go on from the present one. The error says that there is none.
func (r *Reader) Move(by time.Duration, back bool) (jumps bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case back && r.target == 0:
		return false, errors.New("this is the first snapshot")
	case back:
		r.target = max(0, earlier(r.recording, r.target, by))
	case r.target == r.recording.Len()-1:
		return false, errors.New("this is the last snapshot")
	default:
		r.target = later(r.recording, r.target, by)
	}
	if jumps = r.target <= r.at || r.target > r.at+warm; jumps {
		r.at = max(0, r.target-warm) - 1
	}
	return jumps, nil
}

// snapshot reads a snapshot, or takes it from the last two.
func (r *Reader) snapshot(i int) ([]recording.Part, error) {
	for _, k := range r.kept {
		if k.at == i && k.parts != nil {
			return k.parts, nil
		}
	}
	parts, err := r.recording.Parts(i)
	if err == nil {
		r.kept = [2]kept{r.kept[1], {i, parts}}
	}
	return parts, err
}

func (r *Reader) part(view string) (*recording.Part, error) {
	parts, err := r.snapshot(max(r.at, 0))
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if parts[i].View == view {
			return &parts[i], nil
		}
	}
	return nil, fmt.Errorf("the recording has no view %s", view)
}

// Schema is the schema of the present snapshot.
func (r *Reader) Schema(view string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.part(view)
	if err != nil {
		return nil, err
	}
	return p.Schema, nil
}

// Tree appends a view of the present snapshot; cpu goes on to the next.
func (r *Reader) Tree(view string, dst []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if view == "cpu" {
		if r.at+1 >= r.recording.Len() {
			return dst, errors.New("this is the last snapshot")
		}
		r.at++
	}
	p, err := r.part(view)
	if err != nil {
		return dst, err
	}
	return append(dst, p.Raw...), nil
}

// Now is the time of the present snapshot.
func (r *Reader) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

func (r *Reader) now() time.Time { return r.recording.Time(max(r.at, 0)) }

// Views are the views of the snapshot that shall be shown.
func (r *Reader) Views() (names []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parts, err := r.snapshot(r.target)
	for _, p := range parts {
		names = append(names, p.View)
	}
	return names, err
}

// Detail is a view of the present snapshot about one cgroup, with rates since the snapshot before.
func (r *Reader) Detail(view, path string, width int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var runs [2]*raw.Output
	var schema *raw.Schema
	for k, i := range []int{max(r.at-1, 0), r.at} {
		parts, err := r.snapshot(i)
		if err != nil {
			return "", err
		}
		all, err := runsOf(parts)
		if err != nil {
			return "", err
		}
		for _, v := range all {
			if v.schema.View == view {
				schema, runs[k] = v.schema, below(v.run, path, false)
			}
		}
	}
	switch {
	case runs[1] == nil:
		return "", fmt.Errorf("view %s: %w", view, ErrNoView)
	case len(runs[1].Frames) == 0:
		return "", fmt.Errorf("the snapshot has no cgroup %s", plain.Text(path))
	}
	table := show.New(schema, runs[0], runs[1])
	table.Compact()
	var text strings.Builder
	err := table.Print(&text, width)
	return text.String(), err
}

// eachRun gives every run of a recording, with the run of the same view before it, or nil.
func eachRun(r *recording.Reader, f func(s *raw.Schema, before, now *raw.Output) error) error {
	before := make(map[string]*raw.Output)
	for i := range r.Len() {
		runs, err := runsAt(r, i)
		if err != nil {
			return err
		}
		for _, now := range runs {
			view := now.schema.View
			if err := f(now.schema, before[view], now.run); err != nil {
				return err
			}
			before[view] = now.run
		}
	}
	return nil
}

// Tables prints the tables of all snapshots, as CSV or as JSON.
func Tables(to io.Writer, r *recording.Reader, csv bool) error {
	p := show.Printer{To: to, JSON: !csv, CSV: csv}
	return eachRun(r, func(s *raw.Schema, before, now *raw.Output) error {
		return p.Table(show.New(s, before, now))
	})
}
