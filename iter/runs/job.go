package runs

import (
	"context"
	"errors"
	"fmt"

	"bpfviewfs/internal/errno"
	"bpfviewfs/iter/links"
	"bpfviewfs/iter/records"
	"bpfviewfs/iter/requests"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Way is a way to run a view: see the package comment.
type Way uint8

const (
	PerCgroup Way = iota
	PerCall
	PerTask
	PerTree
	InWalk
	Whole
	ways
)

// Job is the work of one view, its programs and the ways to run them. It is complete when its programs have
// been added. From then on it is safe for use by many goroutines.
type Job struct {
	runner *Runner
	view   string
	typ    records.Type
	frame  Frame

	programs   [ways]*ebpf.Program
	order      links.Order         // of the walk of PerCgroup
	caller     *links.Caller       // of PerCall
	taskTarget string              // the target of PerTask
	noTask     error               // why PerTask is missing though the view has a program for it
	batches    *ebpf.Map           // tells PerTree the cgroups
	walk       *walk               // the program of InWalk; nil if there is none
	walker     Walker              // the parts of a walk, and walks of several views
	requests   *ebpf.Map           // tells Whole the cgroup; nil if it does not ask
	rowless    requests.Unsortable // why Whole cannot show a tree in one run; "" if it can
	elements   *ebpf.Map           // the map that Whole iterates; nil if its target needs none
	link       *link.Iter          // the foreign link that is run in place of programs; else nil

	rootOnly string // why the job is about the top cgroup alone; "" if it is not
	only     uint64 // the one cgroup that the job is about; 0 if there is none
}

// Maps opens a map that a program uses, by its name; nil if the program uses none of the name.
type Maps func(name string) (*ebpf.Map, error)

func noMaps(string) (*ebpf.Map, error) { return nil, nil }

// NewJob makes a job without programs. view names it in errors and metrics; t is the type of its output.
func (r *Runner) NewJob(view string, t records.Type) *Job {
	return &Job{runner: r, view: view, typ: t}
}

// Add adds the program that makes the view. The target decides on the way:
//
//   - A program of cgroup is run per cgroup, in the order given.
//   - A program of task, task_file or task_vma is run per task.
//   - Any other, and one with a request map, is run over the whole machine. mapPath is the pin of the map
//     that it iterates, or "".
//
// The program belongs to the job; on an error it is closed.
func (j *Job) Add(p *ebpf.Program, maps Maps, target string, order links.Order, mapPath string) (err error) {
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	asked, err := maps(requests.Map)
	if err != nil {
		return err
	}
	if target == "cgroup" || links.TaskTarget(target) && asked == nil {
		asked.Close()
		if mapPath != "" {
			return errno.Errorf(unix.EINVAL, "map: it iterates %s, not the elements of a map",
				target)
		}
		if target != "cgroup" {
			return j.AddTask(p, noMaps, target)
		}
		j.programs[PerCgroup], j.order = p, order
		return nil
	}
	if err = j.addWhole(p, target, mapPath, asked); err != nil {
		asked.Close()
		j.programs[Whole], j.requests, j.rootOnly = nil, nil, ""
	}
	return err
}

// AddTask adds a program to be run per task. The program belongs to the job; on an error it is closed.
func (j *Job) AddTask(p *ebpf.Program, maps Maps, target string) error {
	asked, err := maps(requests.Map)
	switch {
	case err != nil:
	case !links.TaskTarget(target) || asked != nil:
		err = errno.Errorf(unix.ENOEXEC, "program %s is not run on tasks", p)
	case j.programs[PerTask] != nil:
		err = errno.Errorf(unix.ENOEXEC, "two programs to run on each task")
	default:
		j.programs[PerTask], j.taskTarget = p, target
		return nil
	}
	asked.Close()
	p.Close()
	return err
}

// AddCall adds the job's flavour that is called. It closes the program if that cannot be called here,
// because the view is read without it, too.
func (j *Job) AddCall(p *ebpf.Program, _ Maps) {
	caller, err := links.NewCaller(p)
	if err != nil {
		p.Close()
		return
	}
	j.programs[PerCall], j.caller = p, caller
}

// AddLink makes a job of a link that was made elsewhere. It belongs to the job; on an error it is not closed.
func (j *Job) AddLink(l *link.Iter) error {
	target, cgroup, _, err := links.Info(l)
	switch {
	case err != nil:
		return err
	case target != "cgroup":
		j.rootOnly = fmt.Sprintf("it is a pinned link that iterates %s", target)
	case j.runner.hierarchy.V1():
		return errno.Errorf(unix.EOPNOTSUPP,
			"it is a pinned link for a cgroup of cgroup2, and here its id means another cgroup")
	default:
		j.only = cgroup
	}
	j.link = l
	return nil
}

// SetFrame says how many lines of the program's text are header and footer.
func (j *Job) SetFrame(f Frame) { j.frame = f }

// MissTask notes why the view's program for tasks is missing. Runs that needed it fail with that reason.
func (j *Job) MissTask(why error) { j.noTask = why }

// Explain adds to an error of the view's first program why the one for tasks does not stand in.
func (j *Job) Explain(err error) error {
	if j.noTask == nil {
		return err
	}
	return fmt.Errorf("%w; nor per task: %v", err, j.noTask)
}

// Program is the program that is run in a way; nil if none is.
func (j *Job) Program(w Way) *ebpf.Program { return j.programs[w] }

// Without is the job with fewer ways to run it. It shares its programs, and is not closed.
func (j *Job) Without(ways ...Way) *Job {
	less := *j
	for _, w := range ways {
		less.programs[w] = nil
		if w == InWalk {
			less.walk = nil
		}
	}
	return &less
}

// Empty reports whether there is nothing to run.
func (j *Job) Empty() bool {
	return j.link == nil && j.programs[PerCgroup] == nil && j.programs[PerTask] == nil &&
		j.programs[Whole] == nil
}

// Everywhere reports whether the job can be run for every cgroup, so that About need not be asked.
func (j *Job) Everywhere() bool { return j.rootOnly == "" && j.only == 0 }

// RootOnly is why the job is about the top cgroup alone; "" if it is not.
func (j *Job) RootOnly() string { return j.rootOnly }

// About tells why a run for the cgroup would not be about it, with unix.ENOENT; nil if it would.
func (j *Job) About(cgroup uint64) error {
	switch {
	case j.only != 0 && j.only != cgroup:
		return errno.Errorf(unix.ENOENT, "it is a link that was pinned for another cgroup")
	case j.rootOnly != "" && cgroup != j.runner.hierarchy.Root():
		return errno.Errorf(unix.ENOENT, "it is in the root's directory only: %s", j.rootOnly)
	}
	return nil
}

// Render runs the job for a cgroup, and appends its output to dst in a format that its type has. On an error
// the result is undefined.
func (j *Job) Render(ctx context.Context, f records.Format, cgroup uint64, dst []byte) ([]byte, error) {
	if err := j.About(cgroup); err != nil {
		return nil, err
	}
	r := j.begin(ctx, cgroup, false)
	defer r.release()
	if j.typ.Kind() != "record" {
		return r.collect(cgroup, dst)
	}
	raw, err := r.collect(cgroup, r.output.Bytes())
	if err != nil {
		return nil, err
	}
	r.output.Write(0, raw)
	return r.output.Render(f, dst)
}

// Tree is Render for a cgroup and all below it, in pre-order. A cgroup for which in gives unix.ENOENT is left
// out, and also one that the reader's rights do not let it reach. A nil in or rights leaves none out.
func (j *Job) Tree(ctx context.Context, f records.Format, cgroup uint64, dst []byte,
	in func(cgroup uint64) error, rights Rights) ([]byte, error) {
	r := j.begin(ctx, cgroup, true)
	r.rights = rights
	defer r.release()
	if err := r.collectTree(cgroup, in); err != nil {
		return nil, err
	}
	if err := r.hide(cgroup); err != nil {
		return nil, err
	}
	return r.output.Render(f, dst)
}

// Close unloads the programs. No run may be under way. A nil job has none.
func (j *Job) Close() error {
	if j == nil {
		return nil
	}
	j.runner.unions.drop(j)
	j.walk.end()
	j.walker.close()
	errs := []error{j.caller.Close()}
	for _, p := range j.programs {
		errs = append(errs, p.Close())
	}
	for _, m := range []*ebpf.Map{j.requests, j.batches, j.elements} {
		errs = append(errs, m.Close())
	}
	if j.link != nil {
		errs = append(errs, j.link.Close())
	}
	return errors.Join(errs...)
}
