// Package iter runs views, BPF iterator programs that show something about one cgroup.
//
// It is the top of a small house. [View] is a name with a job to run, [Set] is the list of views of one
// mount, and the registry keeps loaded programs between two starts. The rooms below have manuals of their
// own:
//
//	sources   where views come from: directories, settings, foreign pins, trust
//	programs  objects taken apart and loaded
//	state     the counting programs of stateful views
//	runs      the ways to run a view for a cgroup or a tree
//	records   the types of a view's bytes, and their renderings
//	links     bpf(2) for links and iterators
//	cgroups   the hierarchy by ids
//
// # Runs
//
// [Open] verifies the programs once and holds them. One run makes a link of a program to one cgroup and an
// iterator of the link, reads the iterator to its end, and closes both. That costs some 4 µs over the
// program's own work. Nothing is held for any cgroup, because a link or an iterator that is held keeps the
// struct cgroup of a removed cgroup alive (nr_dying_descendants grows).
//
// A run gives the whole output or an error, never a part:
//
//   - The kernel's buffer for the output about one cgroup is 32 KiB. A longer one is E2BIG, and a walk that
//     was cut short is EOPNOTSUPP. If the object has a task flavour, the run is made again with it.
//   - More than [Options.MaxRun] bytes are EFBIG, and more than [Options.MaxSeries] samples for a collector.
//   - A million objects in a row without output make read(2) give EAGAIN, and the run reads on.
//   - A context that is done, or [Options.Timeout], ends a run between two reads. The kernel looks for no
//     signal inside a read.
//   - No output for a cgroup that is gone is ENOENT. No output for a living cgroup is an empty run.
//
// Every error wraps the kernel's errno, so that [errors.As] with a syscall.Errno finds it.
//
// # Changes
//
// [Set.Watch] follows the places of views. If the new source of a view does not load, the view goes on as it was,
// with a warning. A view that was replaced or removed closes its programs when its last run ends, and a run that
// begins on a replaced view is made by its replacement. A view that cannot load has a [View.Err] and harms no
// other.
//
// NAME.yaml beside NAME.bpf.o, or in a later directory, has the view's settings. All are optional, and an
// unknown one is an error. docs/example.yaml explains them; sources/settings.schema.json is for editors.
//
//	description  text of one line          in place of the object's help
//	enabled      true or false             see Config.Enable
//	owner, group name or number            of the files, in place of the cgroup's directory's
//	mode         "0400" to "0444"          of the files
//	match        list of globs             of paths of the cgroups that have the view
//	requires     list of controllers       that a cgroup must have enabled to have it
//	parameters   name: number, bool, text  values of the object's global variables
//	record       name of a struct          that the program writes, if no tag says it
//	header       number                    of lines of a text that are there once
//	footer       number                    the same at the end
//	map          path                      of a pinned map to iterate over
//
// # Deadlocks avoided
//
// The kernel calls a cgroup iterator's program under cgroup_mutex, and once more, for the epilogue, without
// it. A program that works in the first call stops mkdir, rmdir and every migration on the machine meanwhile.
// If it faults in user memory there, it can wait for a filesystem that waits for the mutex. The built-in
// views work in the epilogue, and authors of other views should use view_in_epilogue of bpfview.h.
//
// This package never walks a path of the mirror it may be serving. It reaches cgroups by id alone.
package iter
