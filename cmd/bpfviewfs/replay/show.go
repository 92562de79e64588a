package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bpfviewfs/cmd/bpfviewfs/recording"
	"bpfviewfs/cmd/bpfviewfs/resolve"
	"bpfviewfs/cmd/bpfviewfs/show"
	"bpfviewfs/cmd/bpfviewfs/units"
	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/raw"
	"golang.org/x/sys/unix"
)

// ErrNoView means that a recording has not the view that was asked for.
var ErrNoView = errors.New("it was not recorded")

// Query is a part of a recording.
type Query struct {
	Words    []string      // views, and then a cgroup; all views and the top if there are none
	At       string        // for [Find]
	Tree     bool          // the cgroup and all below it
	Interval time.Duration // of rates; 0: since the snapshot before
	Every    time.Duration // go on to the end in such steps, which are then the interval; 0: one snapshot
}

// Show prints tables of one snapshot or of several. The error wraps unix.ENOENT if no cgroup is meant,
// unix.EINVAL if a word or time is wrong, and ErrNoView.
func Show(r *recording.Reader, q Query, p *show.Printer) error {
	at, from := r.Len()-1, -1 // the snapshots of the table, and of the rates
	var err error
	switch {
	case q.At != "":
		if at, err = Find(r, q.At); err != nil {
			return err
		}
		from = earlier(r, at, max(q.Interval, q.Every))
	case q.Every > 0:
		from = 0
		at = later(r, 0, q.Every)
	default:
		from = earlier(r, at, q.Interval)
	}
	var before []viewRun
	if from >= 0 {
		if before, err = runsAt(r, from); err != nil {
			return err
		}
	}
	var gone error // of a cgroup that lived for a part of the time
	shown := false
	for {
		now, err := runsAt(r, at)
		if err != nil {
			return err
		}
		title := r.Time(at).Format(time.DateTime)
		if len(before) > 0 && len(now) > 0 {
			took := now[0].run.Begin - before[0].run.Begin // by the clock that is never set
			if took > 0 {                                  // else there was a reboot
				title += ", rates of " + units.Seconds(took.Round(100*time.Millisecond).Seconds())
			}
		}
		err = q.print(p, title, before, now)
		before = now
		if q.Every == 0 || err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		shown = shown || err == nil
		gone = err
		if from, at = at, later(r, at, q.Every); at == from {
			break
		}
	}
	if shown {
		return nil
	}
	return gone
}

// earlier is the snapshot that is next to an interval earlier, at least one; -1 if there is none.
func earlier(r *recording.Reader, at int, interval time.Duration) int {
	return nearest(r, at, -1, interval)
}

// later is the snapshot that is next to an interval later, at least one, or else the last.
func later(r *recording.Reader, from int, interval time.Duration) int {
	return min(nearest(r, from, 1, interval), r.Len()-1)
}

// nearest goes in steps of 1 or -1 to the snapshot whose distance is next to an interval. Snapshots that
// are taken every 5 s may be some ms nearer. A clock that was set back adds to the distance as well.
func nearest(r *recording.Reader, from, step int, interval time.Duration) int {
	at := from + step
	inside := func(at int) bool { return at >= 0 && at < r.Len() }
	if !inside(at) {
		return at
	}
	distance := r.Time(at).Sub(r.Time(from)).Abs()
	for next := at + step; inside(next); next += step {
		further := distance + r.Time(next).Sub(r.Time(at)).Abs()
		if (distance - interval).Abs() <= (further - interval).Abs() {
			break
		}
		at, distance = next, further
	}
	if step < 0 && 2*distance < interval {
		return -1
	}
	return at
}

// print prints the tables of one snapshot, with rates since another one.
func (q Query) print(p *show.Printer, title string, before, now []viewRun) error {
	views, cgroup, err := q.divide(now)
	if err != nil {
		return err
	}
	p.Title(title)
	p.Named = len(views) > 1
	for _, run := range now {
		if !slices.Contains(views, run.schema.View) {
			continue
		}
		var old *raw.Output
		if i := slices.IndexFunc(before, run.sameView); i >= 0 {
			old = before[i].run
		}
		table := show.New(run.schema, old, below(run.run, cgroup, q.Tree))
		if err := p.Table(table); err != nil {
			return err
		}
	}
	return nil
}

// divide divides the words into views and the path of a cgroup.
func (q Query) divide(runs []viewRun) (views []string, cgroup string, err error) {
	var all, paths []string
	for _, run := range runs {
		all = append(all, run.schema.View)
		for _, f := range run.run.Frames {
			paths = append(paths, f.Path)
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	views, word := resolve.Split(q.Words, all)
	for _, view := range views {
		if !slices.Contains(all, view) {
			return nil, "", fmt.Errorf("view %s: %w: the recording has %s", view, ErrNoView, strings.Join(all, " "))
		}
	}
	cgroup, err = resolve.Among(paths, "the recording", word)
	if errors.Is(err, unix.ENOENT) && len(q.Words) == 1 {
		err = errno.Errorf(unix.ENOENT, "%w; its views are %s", err, strings.Join(all, " "))
	}
	if len(views) == 0 {
		views = all
	}
	return views, cgroup, err
}

// viewRun is the output of a view in a snapshot.
type viewRun struct {
	schema *raw.Schema
	run    *raw.Output
}

func (v viewRun) sameView(other viewRun) bool { return v.schema.View == other.schema.View }

// runsAt reads and parses a snapshot.
func runsAt(r *recording.Reader, at int) ([]viewRun, error) {
	parts, err := r.Parts(at)
	if err != nil {
		return nil, err
	}
	return runsOf(parts)
}

func runsOf(parts []recording.Part) (runs []viewRun, err error) {
	for _, p := range parts {
		s, err := raw.ParseSchema(p.Schema)
		if err != nil {
			return nil, err
		}
		run, err := s.Parse(p.Raw)
		if err != nil {
			return nil, err
		}
		runs = append(runs, viewRun{s, run})
	}
	return runs, nil
}

// below is the part of a run about a cgroup, with tree also about those below it.
func below(run *raw.Output, cgroup string, tree bool) *raw.Output {
	part := *run
	part.Tree, part.Frames = tree, nil
	for _, f := range run.Frames {
		path, inside := ".", f.Path == cgroup
		if tree && !inside {
			if cgroup == "." {
				path, inside = f.Path, true
			} else {
				path, inside = strings.CutPrefix(f.Path, cgroup+"/")
			}
		}
		if inside {
			f.Path = path
			part.Frames = append(part.Frames, f)
		}
	}
	return &part
}
