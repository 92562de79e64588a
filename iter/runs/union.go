package runs

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/join"
	"bpfviewfs/iter/records"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Union is a run of several jobs, in their order, for one cgroup or for a cgroup and all below it.
type Union struct {
	Jobs   []*Job
	Format records.Format
	Cgroup uint64
	Tree   bool
	// In has for each job the function that [Job.Tree] takes, or nil.
	In     []func(cgroup uint64) error
	Rights Rights
}

// Render makes the run and appends its output to dst. For each cgroup the jobs run one right after the other.
// All of them are record views. On an error the result is undefined.
func (u *Union) Render(ctx context.Context, dst []byte) ([]byte, error) {
	all := make([]*run, len(u.Jobs))
	outputs := make([]*records.Output, len(u.Jobs))
	for i, j := range u.Jobs {
		if err := j.About(u.Cgroup); err != nil {
			return nil, ofView(j, err)
		}
		all[i] = j.begin(ctx, u.Cgroup, u.Tree)
		all[i].rights = u.Rights
		defer all[i].release()
		outputs[i] = &all[i].output
	}
	skew, err := u.collect(all)
	if err != nil {
		return nil, err
	}
	if err := hideAll(u.Cgroup, all); err != nil {
		return nil, err
	}
	return records.AppendUnion(dst, u.Format, outputs, skew, all[0].job.runner.maxRun)
}

// ofView says which of the views has failed.
func ofView(j *Job, err error) error { return fmt.Errorf("view %s: %w", j.view, err) }

// collect makes the outputs of the runs, and measures the skew.
func (u *Union) collect(all []*run) (skew time.Duration, err error) {
	if !u.Tree {
		return collectCgroup(all, 0, u.Cgroup, u.In)
	}
	if w := u.walk(); w != nil {
		for i, r := range all {
			if err := r.flush(u.Cgroup); err != nil {
				return 0, ofView(u.Jobs[i], err)
			}
		}
		if err := w.fill(u.Cgroup, all...); !errors.Is(err, errNoWalk) {
			return all[0].skew, err
		}
	}
	if err := all[0].listTree(u.Cgroup); err != nil {
		return 0, err
	}
	for _, r := range all {
		if r != all[0] {
			r.output.Share(&all[0].output.Tree)
		}
		r.output.Clear()
	}
	for i := range all[0].output.Len() {
		cgroup := all[0].output.Cgroup(i)
		one, err := collectCgroup(all, i, cgroup, u.In)
		if i > 0 && errors.Is(err, unix.ENOENT) {
			for _, r := range all { // it has vanished: no view shows it
				r.output.Filter(func(number int) bool { return number != i })
			}
		} else if err != nil {
			return 0, err
		}
		skew = max(skew, one)
	}
	return skew, nil
}

// collectCgroup runs all jobs for one cgroup, which has a number in the outputs' trees, and returns the time
// that they took.
func collectCgroup(all []*run, number int, cgroup uint64, in []func(uint64) error) (time.Duration, error) {
	begin := time.Now()
	left := all[0].job.runner.maxRun
	for _, r := range all {
		left -= int64(len(r.output.Bytes()))
	}
	for i, r := range all {
		if in[i] != nil {
			if err := in[i](cgroup); errors.Is(err, unix.ENOENT) {
				continue
			} else if err != nil {
				return 0, ofView(r.job, err)
			}
		}
		if err := r.overdue(); err != nil {
			return 0, ofView(r.job, err)
		}
		r.limit = left
		raw, err := r.collect(cgroup, r.output.Bytes())
		if err != nil {
			return 0, ofView(r.job, err)
		}
		left -= int64(len(raw) - len(r.output.Bytes()))
		r.output.Write(number, raw)
	}
	return time.Since(begin), nil
}

// hideAll is [run.hide] for runs that have the same tree.
func hideAll(cgroup uint64, all []*run) error {
	if all[0].rights == nil {
		return nil
	}
	for _, r := range all {
		if r != all[0] {
			r.bits = append(r.bits[:0], all[0].bits...)
		}
		if err := r.hide(cgroup); err != nil {
			return err
		}
	}
	return nil
}

// walk returns the walk of the jobs; nil if one of them cannot walk, or is only in some cgroups.
func (u *Union) walk() *walk {
	for i, j := range u.Jobs {
		if j.walk == nil || u.In[i] != nil {
			return nil
		}
	}
	return u.Jobs[0].runner.unions.get(u.Jobs, u.Rights == nil)
}

// Walks returns the reason why a tree of the union is not walked, nil if it is.
func (u *Union) Walks() error {
	w := u.walk()
	if w == nil {
		return errNoWalk
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.load(time.Minute), w.refused)
}

// unionSkew is the variable of bpf/walk/union.bpf.c, in nanoseconds.
const unionSkew = "union_skew_nsec"

// resetSkew and readSkew are about the last pass of a union. Any other walk has none.
func (w *walk) resetSkew() error {
	if v := w.loaded.Variables[unionSkew]; v != nil {
		return v.Set(uint64(0))
	}
	return nil
}

func (w *walk) readSkew() (skew time.Duration, err error) {
	if v := w.loaded.Variables[unionSkew]; v != nil {
		err = v.Get(&skew)
	}
	return skew, err
}

// unions are the walks of the unions that were read last.
type unions struct {
	objects iofs.FS

	mu   sync.Mutex
	kept []union // the newest last
}

type union struct {
	jobs []*Job
	walk *walk
	root bool // root has read it
}

// keepUnions bounds the memory of walks. One that comes again is loaded again.
const keepUnions = 8

// get returns the walk of jobs. Those that root has not read go first, because any user who was given a cgroup
// can read one union after the other.
func (s *unions) get(jobs []*Job, root bool) *walk {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.kept, func(u union) bool { return slices.Equal(u.jobs, jobs) })
	var u union
	if i >= 0 {
		u = s.kept[i]
		s.kept = slices.Delete(s.kept, i, i+1)
	} else {
		u = s.make(slices.Clone(jobs))
	}
	u.root = u.root || root
	s.kept = append(s.kept, u)
	if len(s.kept) > keepUnions {
		i := slices.IndexFunc(s.kept[:keepUnions], func(u union) bool { return !u.root })
		i = max(i, 0)
		go s.kept[i].walk.end() // waits for its reader
		s.kept = slices.Delete(s.kept, i, i+1)
	}
	return u.walk
}

func (s *unions) make(jobs []*Job) union {
	var views []string
	for _, j := range jobs {
		views = append(views, j.view)
	}
	load := func(set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
		return loadUnion(s.objects, jobs, set)
	}
	return union{jobs: jobs, walk: newWalk(join.Program, load, views...)}
}

// drop ends the walks that a job is part of. No run of the job may be under way.
func (s *unions) drop(j *Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = slices.DeleteFunc(s.kept, func(u union) bool {
		has := slices.Contains(u.jobs, j)
		if has {
			u.walk.end()
		}
		return has
	})
}

// loadUnion loads a program that walks for all jobs.
func loadUnion(objects iofs.FS, jobs []*Job, set func(*ebpf.CollectionSpec) error) (*ebpf.Collection, error) {
	spec, err := parseObjectOf(objects, "walk/union.bpf.o")
	if err != nil {
		return nil, err
	}
	var parsed []join.Object
	shared := make(map[string]*ebpf.Map)
	for _, j := range jobs {
		spec, err := j.walker.Parse()
		if err != nil {
			return nil, ofView(j, err)
		}
		parsed = append(parsed, join.Object{View: j.view, Spec: spec, Walk: j.walk.program})
		for name, m := range j.walker.Shared {
			shared[join.Name(j.view, name)] = m
		}
	}
	if err := errors.Join(join.Objects(spec, parsed), set(spec)); err != nil {
		return nil, err
	}
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return spec.Maps[name] == nil })
	coll, err := loadNow(spec, shared)
	if err == nil && coll.Variables[unionSkew] == nil {
		coll.Close()
		err = errno.Errorf(unix.ENOEXEC, "the object of unions has no variable %s", unionSkew)
	}
	return coll, err
}
