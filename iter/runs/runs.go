// Package runs runs the iterators of a view for one cgroup, or for a cgroup and all below it.
//
// A [Job] holds the programs of one view, each for the [Way] in which it can be run. One run links a program
// to the cgroup, a process or the whole machine. It reads an iterator of the link to its end and closes both,
// so that nothing is held for any cgroup. It gives the whole output or an error, never a part. The package
// comment of iter lists the errors.
//
//   - [PerCgroup] links the program to the cgroup. The kernel takes 32 KiB of it.
//   - [PerCall] calls it with the cgroup's id, by a link that is held. It is the same with less work.
//   - [PerTask] links it to each process of the cgroup, or to each thread if the threads of one process may
//     live apart. It stands in if the first way fails, for example on cgroup v1 or above 32 KiB of output.
//   - [InWalk] has it walk a tree by itself, and leave its output in memory that is shared with this process.
//   - [PerTree] tells it some hundred cgroups at a time, for a tree that it cannot walk.
//   - [Whole] goes through all objects of the machine. If the program has the map view_requests, it looks up
//     there which cgroup the reading thread asks for. Otherwise only the top cgroup has the view.
//
// A [Runner] is shared by the jobs of one hierarchy. The cgroups of a tree that is not walked are listed by a
// BPF program into memory that is shared with this process, or by their directories if the kernel refuses the
// program.
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
	unions    unions
}

// NewRunner makes a runner. Its helper programs come from objects. A run that gives more than maxRun bytes
// or takes longer than timeout fails.
func NewRunner(h *cgroups.Hierarchy, objects iofs.FS, maxRun int64, timeout time.Duration) *Runner {
	return &Runner{
		hierarchy: h, maxRun: maxRun, timeout: timeout,
		lister: lister{
			objects: objects,
			inWalk:  newWalk("list", loadList(objects)),
		},
		census: census{objects: objects},
		unions: unions{objects: objects},
	}
}

// Close unloads the helper programs. No run may be under way.
func (r *Runner) Close() {
	r.lister.close()
	r.lister.inWalk.end()
	r.census.close()
}
