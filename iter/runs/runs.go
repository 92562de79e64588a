// Package runs runs the iterators of a view: for one cgroup, or for a cgroup and all below it.
//
// A [Job] holds the programs of one view, each for the [Way] in which it can be run. One run links a program
// to what it is about, reads an iterator of the link to its end, and closes both, so that nothing is held for
// any cgroup. It gives the whole output or an error, never a part; the package comment of iter lists the
// errors.
//
//   - [PerCgroup]: the program is linked to the cgroup. The kernel takes 32 KiB of it.
//   - [PerTask]: it is linked to each process of the cgroup, or to each thread if the threads of one process may live apart. It
//     stands in where the first way fails: on cgroup v1, and for output above 32 KiB.
//   - [PerTree]: it is told some hundred cgroups at a time, for a tree.
//   - [Whole]: it goes through all that the machine has. If it has the map view_requests, it looks up there which cgroup the
//     thread that reads asks for; otherwise only the top cgroup has the view.
//
// A [Runner] is shared by the jobs of one hierarchy. A tree's cgroups are listed by a BPF program into
// memory that is shared with this process, or by their directories where the kernel refuses that.
package runs

import (
	iofs "io/fs"
	"time"

	"bpfviewfs/iter/cgroups"
)

// Runner runs jobs in one hierarchy. Safe for use by many goroutines.
type Runner struct {
	hierarchy *cgroups.Hierarchy
	maxRun    int64
	timeout   time.Duration
	lister    lister
	census    census
}

// NewRunner makes a runner. Its helper programs come from objects. A run that gives more than maxRun bytes,
// or takes longer than timeout, fails.
func NewRunner(h *cgroups.Hierarchy, objects iofs.FS, maxRun int64, timeout time.Duration) *Runner {
	return &Runner{
		hierarchy: h, maxRun: maxRun, timeout: timeout, lister: lister{objects: objects}, census: census{objects: objects},
	}
}

// Close unloads the helper programs. No run may be under way.
func (r *Runner) Close() {
	r.lister.close()
	r.census.close()
}
