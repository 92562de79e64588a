package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"bpfviewfs/.ci/stage"
)

// Names of subjects.
const (
	thisBuild  = "this"
	olderBuild = "older"
	stock      = "go-fuse"
	single     = "libfuse"
	multi      = "libfuse-mt"
	lxcfs      = "lxcfs"
	bpfRun     = "BPF"
	cgroupfs   = "cgroupfs"
)

const (
	staticSize = 250 // bytes, about as many as cpu has
	workers    = 201 // cgroups to read; c0 is for one reader, the others are for a crowd
	oneUser    = 1001
	crowdUser  = 1002
)

// bench holds the subjects and the clients of a run.
type bench struct {
	options
	stage    *stage.Stage
	turn     turnLock
	cpus     int
	subjects map[string]*subject // by name
	memory   map[string]*subject // this program's mounts of the v1 memory hierarchy
	trees    map[string]int      // number of cgroups, by the tree's name
	missing  []string
	work     string // parent of c0, c1 ..., relative to the hierarchy

	root, one, crowd, intruder *stage.Client
}

// run measures the chosen rows and writes the report.
func run(o options, s *stage.Stage, chosen []row) error {
	b := &bench{
		options: o, stage: s, turn: turnLock{path: o.lock}, cpus: runtime.NumCPU(),
		subjects: map[string]*subject{}, memory: map[string]*subject{}, trees: map[string]int{},
	}
	if err := b.start(); err != nil {
		return err
	}
	if o.all && len(b.missing) > 0 {
		return fmt.Errorf("%s", strings.Join(b.missing, "; "))
	}
	report := newReport(b)
	all := time.Now()
	for _, r := range chosen {
		begin := time.Now()
		result, err := b.row(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		report.Rows = append(report.Rows, result)
		took := time.Since(begin).Seconds()
		fmt.Printf("-- %s: %.0f s, others took %.1f %% of the machine\n", r.name, took,
			100*result.Disturbed)
	}
	fmt.Printf("-- all rows: %.0f s\n", time.Since(all).Seconds())
	return report.write(o)
}

func choose(names string) ([]row, error) {
	if names == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no row %q: -rows help lists them", name)
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// row measures r, and repeats it if other programs ran beside it. It returns the least disturbed attempt.
func (b *bench) row(r row) (best *result, err error) {
	attempts, patience := tries, quietWait
	if b.quick {
		attempts, patience = 1, time.Second
	}
	for range attempts {
		result, err := b.attempt(r, patience)
		if err != nil {
			return nil, err
		}
		if best == nil || result.Disturbed < best.Disturbed {
			best = result
		}
		if best.Disturbed < disturbing {
			break
		}
	}
	return best, nil
}

func (b *bench) attempt(r row, patience time.Duration) (*result, error) {
	if err := b.turn.take(); err != nil {
		return nil, err
	}
	defer b.turn.giveBack()
	undo, err := r.prepare(b)
	if err != nil {
		return nil, err
	}
	defer undo()
	waitQuiet(patience)
	result := &result{Name: r.name, Title: r.title}
	before, err := look(b.stage.Cgroup)
	if err != nil {
		return nil, err
	}
	if err := r.run(b, result); err != nil {
		return nil, err
	}
	after, err := look(b.stage.Cgroup)
	if err != nil {
		return nil, err
	}
	result.Disturbed = after.disturbance(before, b.cpus)
	for _, m := range result.Measures {
		m.finish()
	}
	return result, nil
}

// subject is a mount to measure.
type subject struct {
	*stage.Server
	static bool // has the files f0, f1 ... instead of cgroups' directories
}

// file is the path of a cgroup's view, or of the n-th static file.
func (s *subject) file(cgroup, view string, n int) string {
	if s.static {
		return fmt.Sprintf("%s/f%d", s.Dir, n)
	}
	return filepath.Join(s.Dir, cgroup, view)
}
