package main

import (
	"fmt"
	"time"

	"bpfviewfs/.ci/stage"
)

var mounts = []string{thisBuild, olderBuild, stock, single, multi}

// oneReader makes a turn for each subject, BPF runs and cgroupfs included.
func (b *bench) oneReader(kind string, count int) (turns []turn) {
	b.each(mounts, func(s *subject) error {
		turns = append(turns, turn{s.Name, b.one, stage.Does(kind, s.file(b.cN(0), "cpu", 0)), s})
		return nil
	})
	if s := b.subjects[lxcfs]; s != nil {
		turns = append(turns, turn{lxcfs, b.one, stage.Does(kind, s.Dir+"/proc/uptime"), s})
	}
	cgroup := b.stage.Cgroup2 + "/" + b.cN(0)
	turns = append(turns,
		turn{bpfRun, b.root, stage.Does("run", cgroup), nil},
		turn{cgroupfs, b.one, stage.Does(kind, cgroup+"/cpu.stat"), nil})
	for i := range turns {
		turns[i].job.Count = count
	}
	return turns
}

func openRow(b *bench, r *result) error {
	if err := r.turns("time", b.rounds(60), b.oneReader("open", 100)); err != nil {
		return err
	}
	r.quotient(atMost(0.60), "time, in go-fuse's", "time", stock, "time")
	r.quotient(atMost(0.30), "time, in the older build's", "time", olderBuild, "time")
	cpu := "time: server CPU"
	used := func(build string, p pool) float64 { return median(p, r.get(build, cpu)) }
	r.hold(atMost(60).in("µs"), "server CPU", r.get(thisBuild, cpu), r.get(stock, cpu), used)
	return nil
}

func preadRow(b *bench, r *result) error {
	if err := r.turns("time", b.rounds(60), b.oneReader("pread", 200)); err != nil {
		return err
	}
	r.quotient(atMost(1.25), "time, in go-fuse's", "time", stock, "time")
	libfuse, run := r.get(single, "time"), r.get(bpfRun, "time")
	if libfuse != nil {
		text := "time, in libfuse's and a BPF run's together"
		r.hold(atMost(1.3), text, r.get(thisBuild, "time"), libfuse,
			func(build string, p pool) float64 {
				return median(p, r.get(build, "time")) / (median(p, libfuse) + median(p, run))
			})
	}
	cpu := "time: server CPU"
	r.quotient(atMost(0.6), "server CPU, in the older build's", cpu, olderBuild, cpu)
	return nil
}

func memoryRow(b *bench, r *result) error {
	if b.stage.Memory == "" || b.subjects[lxcfs] == nil {
		r.Notes = append(r.Notes, "not measured: no v1 memory hierarchy, or no lxcfs")
		return nil
	}
	for _, w := range []struct {
		kind, what string
		count      int
		limit      float64
	}{{"open", "open, read, read, close", 50, 0.25}, {"pread", "pread at 0", 100, 0.15}} {
		meminfo := stage.Does(w.kind, b.subjects[lxcfs].Dir+"/proc/meminfo").Times(w.count)
		turns := []turn{{lxcfs, b.one, meminfo, b.subjects[lxcfs]}}
		for _, name := range []string{thisBuild, olderBuild} {
			if s := b.memory[name]; s != nil {
				j := stage.Does(w.kind, s.file(b.stage.Name, "memory", 0)).Times(w.count)
				turns = append(turns, turn{name, b.one, j, s})
			}
		}
		if err := r.turns(w.what, b.rounds(40), turns); err != nil {
			return err
		}
		r.quotient(atMost(w.limit), w.what+": time, in lxcfs's", w.what, lxcfs, w.what)
	}
	return nil
}

// readersRow has n threads read some files, for a quarter of a second a round.
func readersRow(n, files int) func(*bench, *result) error {
	return func(b *bench, r *result) error {
		for range b.rounds(16) {
			err := b.each(mounts, func(s *subject) error {
				before, err := s.CPU()
				if err != nil {
					return err
				}
				j := stage.Job{Kind: "open", Threads: b.many(n),
					Paths: b.files(s, "cpu", files)}
				a, err := b.crowd.Do(j.Lasting(b.span(250 * time.Millisecond)))
				if err != nil {
					return err
				}
				after, err := s.CPU()
				if err != nil {
					return err
				}
				r.add(s.Name, "reads", "/s", float64(a.Operations)/a.Took.Seconds())
				r.add(s.Name, "time", "µs", scaled(a.Samples, 1e-3)...)
				r.add(s.Name, "server CPU", "µs",
					float64((after-before).Nanoseconds())/1e3/float64(a.Operations))
				r.errors(s.Name, a)
				return nil
			})
			if err != nil {
				return err
			}
		}
		limit := 0.9
		if n == 8 {
			limit = 0.95
		}
		r.quotient(atLeast(limit), "reads a second, in go-fuse's", "reads", stock, "reads")
		if n == 64 && files == 1 {
			ours, peer := r.get(thisBuild, "time"), r.get(stock, "time")
			r.hold(atMost(3), "p99, in its median", ours, peer,
				func(build string, p pool) float64 {
					all := sorted(p(r.get(build, "time")))
					return quantile(all, 0.99) / quantile(all, 0.5)
				})
		}
		return nil
	}
}

// errors notes failed operations.
func (r *result) errors(name string, a stage.Answer) {
	if a.Errors > 0 {
		all := a.Errors + a.Operations
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d of %d failed (%s)",
			name, a.Errors, all, a.Errno.Error()))
	}
}
