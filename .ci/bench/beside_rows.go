package main

import (
	"fmt"
	"os"
	"time"

	"bpfviewfs/.ci/stage"
)

// beside adds the times of the client's job j, first alone and then while the crowd works.
func (b *bench) beside(r *result, name string, c *stage.Client, j, crowd stage.Job) error {
	a, err := c.Do(j)
	if err != nil {
		return err
	}
	r.add(name, "alone", "µs", scaled(a.Samples, 1e-3)...)
	if err := b.crowd.Start(crowd); err != nil {
		return err
	}
	time.Sleep(b.span(300 * time.Millisecond))
	j.Limit *= 4
	read, err := c.Do(j)
	if err != nil {
		return err
	}
	if a, err = b.crowd.Stop(); err != nil {
		return err
	}
	r.add(name, "beside", "µs", scaled(read.Samples, 1e-3)...)
	r.add(name, "crowd", "/s", float64(a.Operations)/max(a.Took.Seconds(), 1e-9))
	r.errors(name+", the one", read)
	r.errors(name+", the crowd", a)
	return nil
}

// besideRow is one user's open..close beside n readers of some files of another user.
func besideRow(kind string, n, files int, limit float64) func(*bench, *result) error {
	return func(b *bench, r *result) error {
		peers := []string{thisBuild, olderBuild, stock, single, cgroupfs}
		for range b.rounds(4) {
			err := b.each(peers, func(s *subject) error {
				crowd := stage.Job{Kind: kind, Threads: b.many(n),
					Paths: b.files(s, cpuFile(s), files)}
				return b.beside(r, s.Name, b.one, b.quickRead(s), crowd)
			})
			if err != nil {
				return err
			}
		}
		r.quotient(atMost(limit), "median, in its time alone", "beside", thisBuild, "alone")
		return nil
	}
}

// cpuFile is the name of the subject's file about CPU time.
func cpuFile(s *subject) string {
	if s.Name == cgroupfs {
		return "cpu.stat"
	}
	return "cpu"
}

// quickRead is the job of the one user.
func (b *bench) quickRead(s *subject) stage.Job {
	return stage.Reads(s.file(b.cN(0), cpuFile(s), 0)).Lasting(b.span(250 * time.Millisecond))
}

func besideListRow(b *bench, r *result) error {
	many := b.stage.Name + "/many"
	for range b.rounds(2) {
		err := b.each([]string{thisBuild, olderBuild, cgroupfs}, func(s *subject) error {
			var before float64
			var err error
			if s.Name != cgroupfs {
				if err := s.ResetPeak(); err != nil {
					return err
				}
				if before, _, err = s.Memory(); err != nil {
					return err
				}
			}
			crowd := stage.Job{Kind: "list", Threads: b.many(300), Buffer: 32 << 10,
				Paths: []string{s.file(many, "", 0)}}
			if err = b.beside(r, s.Name, b.one, b.quickRead(s), crowd); err != nil ||
				s.Name == cgroupfs {
				return err
			}
			after, peak, err := s.Memory()
			r.add(s.Name, "RSS: growth at its peak", "MiB", peak-before)
			r.add(s.Name, "RSS: growth that stays", "MiB", after-before)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.quotient(atMost(20), "median, in its time alone", "beside", thisBuild, "alone")
	rss := "RSS: growth at its peak"
	r.hold(atMost(64).in("MiB"), "server's memory, growth", r.get(thisBuild, rss), nil, worst(r, rss, 1))
	return nil
}

func besideSlowRow(b *bench, r *result) error {
	for range b.rounds(5) {
		err := b.each([]string{thisBuild, olderBuild}, func(s *subject) error {
			crowd := stage.Reads(s.file(b.stage.Name+"/slow", "burn", 0))
			crowd.Threads = 16
			return b.beside(r, s.Name, b.one, b.quickRead(s).Lasting(600*time.Millisecond), crowd)
		})
		if err != nil {
			return err
		}
	}
	r.quotient(atMost(2), "median, in its time alone", "beside", thisBuild, "alone")
	r.hold(atMost(600).in("ms"), "worst", r.get(thisBuild, "beside"), nil, worst(r, "beside", 1e-3))
	return nil
}

// worst is the largest sample.
func worst(r *result, what string, scale float64) number {
	return func(build string, p pool) float64 {
		return quantile(sorted(p(r.get(build, what))), 1) * scale
	}
}

// unexpectedRow has a user read for half a second. After 100 ms another user runs a view that was quick in
// another cgroup, and is slow in this one.
func unexpectedRow(b *bench, r *result) error {
	for i := range b.rounds(12) {
		slow := fmt.Sprintf("%s/slow%d", b.work, i)
		if err := os.Mkdir(b.stage.Cgroup2+"/"+slow, 0o755); err != nil {
			return err
		}
		err := b.each([]string{thisBuild, olderBuild}, func(s *subject) error {
			j := b.quickRead(s).Lasting(500 * time.Millisecond)
			a, err := b.one.Do(j)
			if err != nil {
				return err
			}
			r.add(s.Name, "worst alone", "ms", quantile(sorted(a.Samples), 1)/1e6)
			if _, err := b.intruder.Do(stage.Reads(s.file(b.cN(1), "burn", 0)).Times(20)); err != nil {
				return err
			}
			if err := b.one.Start(j); err != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond)
			if _, err := b.intruder.Do(stage.Reads(s.file(slow, "burn", 0)).Times(1)); err != nil {
				return err
			}
			if a, err = b.one.Wait(); err != nil {
				return err
			}
			r.add(s.Name, "worst beside", "ms", quantile(sorted(a.Samples), 1)/1e6)
			return nil
		})
		os.Remove(b.stage.Cgroup2 + "/" + slow)
		if err != nil {
			return err
		}
	}
	beside, alone := r.get(thisBuild, "worst beside"), r.get(thisBuild, "worst alone")
	r.hold(atMost(4).in("ms"), "worst", beside, alone, worst(r, "worst beside", 1))
	return nil
}
