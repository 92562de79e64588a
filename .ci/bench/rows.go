package main

import (
	"fmt"
	"iter"
	"time"

	"bpfviewfs/.ci/stage"
)

// row is a piece of work and its targets.
type row struct {
	name, title string
	run         func(*bench, *result) error
	trees       []tree
}

var rows = []row{
	{"open", "open, read, read, close of `cpu`, one reader", openRow, nil},
	{"pread", "pread at 0 of `cpu`, held open, one reader", preadRow, nil},
	{"memory", "`memory` on cgroup v1 and lxcfs's proc/meminfo, one reader", memoryRow, nil},
	{"8", "8 readers of one file", readersRow(8, 1), nil},
	{"64", "64 readers of one file", readersRow(64, 1), nil},
	{"64files", "64 readers of 64 files", readersRow(64, 64), nil},
	{"beside64", "a user's read beside 64 readers of one file", besideRow("open", 64, 1, 3), nil},
	{"beside1000", "a user's read beside 1,000 readers of one file", besideRow("open", 1000, 1, 3), nil},
	{"besidestat", "a user's read beside 1,000 threads that stat one file",
		besideRow("stat", 1000, 1, 2), nil},
	{"beside200", "a user's read beside 1,000 readers of 200 files",
		besideRow("open", 1000, 200, 3), nil},
	{"besidels", "a user's read beside 300 listings of 20,000 cgroups", besideListRow,
		[]tree{{"many", 20000, 0}}},
	{"besideslow", "a user's read beside 16 readers of a run of 0.3 s CPU", besideSlowRow,
		[]tree{{"slow", 0, 0}}},
	{"unexpected", "a user's slowest read beside a run that is slow for the first time",
		unexpectedRow, nil},
	{"find", "`find -type d` over 60,000 cgroups", findRow, []tree{{"wide", 245, 244}}},
	{"tree", "10,000 cgroups in one read, and cpu.stat of each", treeRow, []tree{{"tree", 100, 99}}},
	{"scrape", "a scrape of CPU times, memory and pressure of 10,000 cgroups", scrapeRow,
		[]tree{{"tree", 100, 99}}},
	{"mkdir", "mkdir and rmdir beside endless reads of 10,000 cgroups", mkdirRow,
		[]tree{{"tree", 100, 99}}},
	{"growth", "1,000 and 100,000 cgroups in one read", growthRow,
		[]tree{{"small", 10, 99}, {"large", 1000, 99}}},
}

// tree is a sub-tree of cgroups that a row needs: width cgroups with depth cgroups in each.
type tree struct {
	name         string
	width, depth int
}

// prepare makes the row's trees, or a twentieth of them in a quick run. undo removes them.
func (r row) prepare(b *bench) (undo func(), err error) {
	undo = func() {
		for _, t := range r.trees {
			stage.RemoveTree(b.stage.Cgroup + "/" + t.name)
		}
	}
	for _, t := range r.trees {
		if b.quick && t.width > 0 {
			t.width = max(1, t.width/20)
		}
		b.trees[t.name] = 1 + t.width*(1+t.depth)
		if err := stage.MakeTree(b.stage.Cgroup+"/"+t.name, t.width, t.depth); err != nil {
			undo()
			return nil, err
		}
	}
	return undo, nil
}

// longestRow is when no more rounds of a row begin. So all rows take a quarter of an hour at most.
const longestRow = 40 * time.Second

// rounds counts to n. It ends early after longestRow, and after two rounds in a quick run.
func (b *bench) rounds(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, begin := 0, time.Now(); i < n; i++ {
			if i >= 2 && (b.quick || time.Since(begin) > longestRow) || !yield(i) {
				return
			}
		}
	}
}

// many is n, or a tenth of it in a quick run.
func (b *bench) many(n int) int {
	if b.quick {
		return max(n/10, 16)
	}
	return n
}

// span is d, or a fifth of it in a quick run.
func (b *bench) span(d time.Duration) time.Duration {
	if b.quick {
		return d / 5
	}
	return d
}

// cN is the path of a cgroup to read, relative to the hierarchy.
func (b *bench) cN(n int) string { return fmt.Sprintf("%s/c%d", b.work, n) }

// files are the paths of n files for a crowd. They begin at c1 or f1.
func (b *bench) files(s *subject, view string, n int) (paths []string) {
	for i := range n {
		paths = append(paths, s.file(b.cN(i+1), view, i+1))
	}
	return paths
}

// each runs f for each of the named subjects that exists.
func (b *bench) each(names []string, f func(*subject) error) error {
	for _, name := range names {
		if s := b.subjects[name]; s != nil {
			if err := f(s); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// turn is a client's job in each round.
type turn struct {
	name   string
	client *stage.Client
	job    stage.Job
	server *subject // nil if the CPU time of the server is not measured
}

// turns does all turns in each round, and adds the time of each operation. Each round begins with the next
// turn.
func (r *result) turns(what string, rounds iter.Seq[int], turns []turn) error {
	for round := range rounds {
		for i := range turns {
			t := turns[(round+i)%len(turns)]
			var before, after time.Duration
			var err error
			if t.server != nil {
				if before, err = t.server.CPU(); err != nil {
					return err
				}
			}
			a, err := t.client.Do(t.job)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			r.add(t.name, what, "µs", scaled(a.Samples, 1e-3)...)
			if t.server != nil {
				if after, err = t.server.CPU(); err != nil {
					return err
				}
				r.add(t.name, what+": server CPU", "µs",
					float64((after-before).Nanoseconds())/1e3/float64(a.Operations))
			}
		}
	}
	return nil
}

func scaled(samples []float64, by float64) []float64 {
	for i := range samples {
		samples[i] *= by
	}
	return samples
}
