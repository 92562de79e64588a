package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"time"

	"bpfviewfs/.ci/stage"
	"bpfviewfs/iter/raw"
)

// large reads a large file once.
func large(path string) stage.Job {
	j := stage.Reads(path).Times(1)
	j.Buffer = 1 << 20
	return j
}

// findRow times find(1). The first time is a measure of its own, because nothing is cached.
func findRow(b *bench, r *result) error {
	for i := range b.rounds(4) {
		err := b.each([]string{thisBuild, olderBuild, cgroupfs}, func(s *subject) error {
			begin := time.Now()
			top := s.file(b.stage.Name+"/wide", "", 0)
			if err := exec.Command("find", top, "-type", "d", "-name", "none").Run(); err != nil {
				return err
			}
			what := "time"
			if i == 0 {
				what = "first time"
			}
			r.add(s.Name, what, "ms", float64(time.Since(begin).Microseconds())/1e3)
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.quotient(atMost(4), "time, in cgroupfs's", "time", cgroupfs, "time")
	return nil
}

// treeFile is the path of a file that shows a whole tree.
func (b *bench) treeFile(s *subject, tree, name string) string {
	return s.file(b.stage.Name+"/"+tree, ".bpfview/tree/"+name, 0)
}

func (b *bench) treeTurns(names ...string) (turns []turn) {
	b.each([]string{thisBuild, olderBuild}, func(s *subject) error {
		for _, name := range names {
			path := b.treeFile(s, "tree", name)
			if _, err := os.Stat(path); err == nil {
				turns = append(turns, turn{s.Name, b.root, large(path), nil})
			}
		}
		return nil
	})
	return turns
}

// treeRow has each job follow a walk of cpu.stat, so that all of them find the same in the CPU's caches. A first
// read of each file, which loads programs, does not count.
func treeRow(b *bench, r *result) error {
	top := b.stage.Cgroup + "/tree"
	of := func(kind string) turn { return turn{cgroupfs, b.root, stage.Does(kind, top).Times(1), nil} }
	once := b.rounds(1)
	afterWalk := func(what string, turns ...turn) error {
		for _, t := range turns {
			err := cmp.Or(r.turns("walk of cpu.stat", once, []turn{of("walk")}),
				r.turns(what, once, []turn{t}))
			if err != nil {
				return err
			}
		}
		return nil
	}
	names := []string{"cpu.raw", "cpu", "cpu.json", "cpu.prom", "tasks", "psi.prom", "psi.raw",
		"cpu+psi.raw"}
	for _, t := range b.treeTurns(names...) {
		if _, err := t.client.Do(t.job); err != nil {
			return err
		}
	}
	for range b.rounds(15) {
		err := cmp.Or(afterWalk("walk of *.pressure", of("walk-pressure")),
			afterWalk("cgroup_iter that does nothing", of("descend")))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := afterWalk("tree/"+name, b.treeTurns(name)...); err != nil {
				return err
			}
		}
	}
	for _, t := range []struct {
		name  string
		limit float64
	}{{"cpu.raw", 25}, {"cpu", 15}, {"cpu.json", 15}, {"cpu.prom", 12}} {
		what := "tree/" + t.name
		walk := r.get(cgroupfs, "walk of cpu.stat")
		faster := func(build string, p pool) float64 {
			return median(p, walk) / median(p, r.get(build, what))
		}
		r.hold(atLeast(t.limit), what+": times faster than the walk", r.get(thisBuild, what),
			walk, faster)
	}
	bare := "cgroup_iter that does nothing"
	r.quotient(atMost(1), "tree/tasks, no rows: time, in a bare cgroup_iter's", "tree/tasks",
		cgroupfs, bare)
	psi := "tree/psi.prom"
	r.quotient(atMost(0.25), psi+": time, in the older build's", psi, olderBuild, psi)
	union := r.get(thisBuild, "tree/cpu+psi.raw")
	walks := []*measure{r.get(cgroupfs, "walk of cpu.stat"), r.get(cgroupfs, "walk of *.pressure")}
	r.hold(atLeast(25), "tree/cpu+psi.raw: times faster than both walks", union, walks[0],
		func(build string, p pool) float64 {
			return (median(p, walks[0]) + median(p, walks[1])) /
				median(p, r.get(build, "tree/cpu+psi.raw"))
		})
	parts := r.get(thisBuild, "tree/cpu.raw")
	r.hold(atMost(1), "tree/cpu+psi.raw: time, in that of its parts", union, parts,
		func(build string, p pool) float64 {
			return median(p, r.get(build, "tree/cpu+psi.raw")) /
				(median(p, r.get(build, "tree/cpu.raw")) +
					median(p, r.get(build, "tree/psi.raw")))
		})
	return skewOf(b, r)
}

// skewOf reads the skew of passes over all cgroups.
func skewOf(b *bench, r *result) error {
	s := b.subjects[thisBuild]
	for range b.many(200) {
		text, err := os.ReadFile(b.treeFile(s, "tree", "cpu+psi.raw"))
		if err != nil {
			return err
		}
		views, err := raw.ParseUnion(text)
		if err != nil {
			return err
		}
		r.add(s.Name, "tree/cpu+psi.raw: skew of the worst cgroup", "µs",
			float64(views[0].Skew.Nanoseconds())/1e3)
	}
	return nil
}

// mkdirRow is mkdir beside a reader of trees, a walk through cgroupfs, and a reader that looks at no cgroup.
// The last one shows what two busy processes cost.
func mkdirRow(b *bench, r *result) error {
	j := stage.Does("mkdir", b.stage.Cgroup+"/new").Lasting(b.span(400 * time.Millisecond))
	crowd := func(s *subject) stage.Job {
		switch s.Name {
		case cgroupfs:
			return stage.Does("walk", b.stage.Cgroup+"/tree")
		case stock:
			return stage.Reads(s.file("", "", 0))
		}
		return large(b.treeFile(s, "tree", "cpu.raw")).Times(0)
	}
	for range b.rounds(4) {
		err := b.each([]string{thisBuild, olderBuild, stock, cgroupfs}, func(s *subject) error {
			return b.beside(r, s.Name, b.root, j, crowd(s))
		})
		if err != nil {
			return err
		}
	}
	p99 := func(subject string, p pool) float64 {
		return quantile(sorted(p(r.get(subject, "beside"))), 0.99)
	}
	beside := r.get(thisBuild, "beside")
	r.hold(atMost(2), "p99, in that alone", beside, r.get(thisBuild, "alone"),
		func(build string, p pool) float64 {
			return p99(build, p) / quantile(sorted(p(r.get(build, "alone"))), 0.99)
		})
	r.hold(atMost(1000).in("µs"), "p99", beside, nil, p99)
	r.hold(atMost(2), "p99, in that beside go-fuse", beside, r.get(stock, "beside"),
		func(build string, p pool) float64 { return p99(build, p) / p99(stock, p) })
	r.hold(atMost(1), "p99, in that beside a walk of cpu.stat", beside, r.get(cgroupfs, "beside"),
		func(build string, p pool) float64 { return p99(build, p) / p99(cgroupfs, p) })
	return nil
}

func growthRow(b *bench, r *result) error {
	for i := range b.rounds(10) {
		err := b.each([]string{thisBuild, olderBuild}, func(s *subject) error {
			for _, t := range []string{"small", "large"} {
				a, err := b.root.Do(large(b.treeFile(s, t, "cpu.raw")))
				if err != nil {
					return err
				}
				if i > 0 { // the first one makes room
					r.add(s.Name, t, "ns", a.Samples[0]/float64(b.trees[t]))
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("growth: %w", err)
		}
	}
	r.quotient(atMost(1.2), "time a cgroup of 100,000, in that of 1,000", "large", thisBuild, "small")
	return largeRow(b, r)
}

// largeRow reads a large tree: the time of another user's read beside, and the server's memory.
func largeRow(b *bench, r *result) error {
	s := b.subjects[thisBuild]
	file := b.treeFile(s, "large", "all.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	size := float64(len(text)) / (1 << 20)
	text = nil
	time.Sleep(b.span(15 * time.Second)) // what others have left is gone by then
	if err := s.ResetPeak(); err != nil {
		return err
	}
	before, _, err := s.Memory()
	if err != nil {
		return err
	}
	if _, err := b.root.Do(large(file)); err != nil {
		return err
	}
	_, peak, err := s.Memory()
	if err != nil {
		return err
	}
	time.Sleep(b.span(15 * time.Second))
	after, _, err := s.Memory()
	if err != nil {
		return err
	}
	r.add(s.Name, "tree/all.json: size", "MiB", size)
	r.add(s.Name, "tree/all.json: server's memory, growth at its peak", "MiB", peak-before)
	r.add(s.Name, "tree/all.json: server's memory, growth 15 s later", "MiB", after-before)
	r.quotient(atMost(2), "tree/all.json: server's memory, in the size of the file",
		"tree/all.json: server's memory, growth at its peak", thisBuild, "tree/all.json: size")

	for range b.rounds(3) {
		crowd := large(b.treeFile(s, "large", "cpu.raw")).Times(0)
		if err := b.beside(r, s.Name, b.one, b.quickRead(s), crowd); err != nil {
			return err
		}
	}
	r.quotient(atMost(2), "a user's read beside it: median, in its time alone", "beside", thisBuild,
		"alone")
	return nil
}
