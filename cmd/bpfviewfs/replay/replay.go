// Package replay reads a recording for the screen of top, and dumps it.
package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/iter/raw"
)

// Reader reads a recording as if it were now. The view cpu goes on to the next snapshot.
type Reader struct {
	mu        sync.Mutex
	recording *recording.Reader
	at        int
}

// New reads a recording from its beginning.
func New(r *recording.Reader) *Reader { return &Reader{recording: r, at: -1} }

func (r *Reader) part(view string) (*recording.Part, error) {
	parts, err := r.recording.Parts(max(r.at, 0))
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

// Schema is that of the present snapshot.
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

// Back has the next sample but one be that before the present one.
func (r *Reader) Back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = max(-1, r.at-3)
}

// Now is the time of the present snapshot.
func (r *Reader) Now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

func (r *Reader) now() time.Time { return r.recording.Time(max(r.at, 0)) }

// Detail is a view of the present snapshot about one cgroup.
func (r *Reader) Detail(view, path string, width int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.part(view)
	if err != nil {
		return "", err
	}
	s, err := raw.ParseSchema(p.Schema)
	if err != nil {
		return "", err
	}
	run, err := s.Parse(p.Raw)
	if err != nil {
		return "", err
	}
	for _, frame := range run.Frames {
		if frame.Path == path {
			run.Tree, run.Frames = false, []raw.Frame{frame}
			table := show.New(s, nil, run)
			table.Compact()
			var text strings.Builder
			err := table.Print(&text, width)
			return text.String(), err
		}
	}
	return "", fmt.Errorf("the snapshot has no cgroup %s", path)
}

// eachRun gives every run of a recording, with the run of the same view before it, or nil.
func eachRun(r *recording.Reader, f func(s *raw.Schema, before, now *raw.Output) error) error {
	before := make(map[string]*raw.Output)
	for i := range r.Len() {
		parts, err := r.Parts(i)
		if err != nil {
			return err
		}
		for _, p := range parts {
			s, err := raw.ParseSchema(p.Schema)
			if err != nil {
				return err
			}
			// The recording uses its memory again.
			run, err := s.Parse(bytes.Clone(p.Raw))
			if err != nil {
				return err
			}
			if err := f(s, before[p.View], run); err != nil {
				return err
			}
			before[p.View] = run
		}
	}
	return nil
}

// Tables prints the tables of all snapshots, as CSV or as JSON.
func Tables(to io.Writer, r *recording.Reader, csv bool) error {
	heads := make(map[string]string)
	return eachRun(r, func(s *raw.Schema, before, now *raw.Output) error {
		table := show.New(s, before, now)
		if !csv {
			return table.PrintJSON(to)
		}
		first := heads[table.View] != s.Hash
		heads[table.View] = s.Hash
		return table.PrintCSV(to, first)
	})
}
