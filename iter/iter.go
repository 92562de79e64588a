// Package iter runs views: BPF iterator programs that tell something about one cgroup.
//
// # What a run is
//
// A view is an object file NAME.bpf.o with an iterator program: one, whatever its name, or one called NAME
// among its flavours. [Open] verifies the programs once and holds them; nothing is held for any cgroup. One
// run makes a link of the program to one cgroup, makes an iterator of the link, reads it to its end into
// memory and closes both. That costs some 4 µs over the program's own work, and it is what keeps removed
// cgroups from lingering: a link or an iterator that is held keeps its struct cgroup alive
// (nr_dying_descendants grows).
//
// A run gives the whole output or an error, never a part:
//
//   - The kernel's buffer for what a program writes about one cgroup is 32 KiB. More is E2BIG, a walk that was cut
//     short is EOPNOTSUPP. If the object has a task flavour (below) the run is made again with it.
//   - More than [Options.MaxRun] bytes is EFBIG.
//   - A million objects in a row without output make read(2) say EAGAIN; the run reads on.
//   - A context that is done, or [Options.Timeout], ends a run between two reads. The read itself is not
//     interruptible: the kernel looks for no signal inside it.
//   - Nothing at all for a cgroup that is gone is ENOENT. Nothing for a cgroup that is there is an empty run.
//
// Every error wraps the kernel's errno ([errors.As] with a syscall.Errno finds it).
//
// # Where views come from
//
// From the objects compiled in, from views directories, and from the registry, a directory of a bpffs where
// anybody who may use bpf(2) pins an iterator program or an iterator's link. See [Config] for which of two
// wins; the other is named in the winner's [View.Warning]. [Set.Watch] follows all of them.
//
//   - A view that cannot load is listed with its [View.Err] and harms no other. One that ran before its object or
//     settings were replaced by others that do not load goes on as it was, with a warning.
//   - A replaced or removed view closes its programs when its last run ends; a run that begins on a replaced one
//     is made by what came in its place.
//   - Programs of objects are pinned in the registry under their views' names, with what they were made of (origin.go),
//     and taken from there by the next Open if they are made of the same: nothing is verified twice.
//
// NAME.yaml beside NAME.bpf.o, or in a later directory, has the view's settings; docs/example.yaml explains
// them, sources/settings.schema.json is for editors. All settings are optional, an unknown one is an error.
//
//	description  text of one line          shown in place of what the object says
//	enabled      true or false             see Config.Enable
//	owner, group name or number            of the files; default: of the cgroup's directory
//	mode         "0400" to "0444"          of the files
//	match        list of globs             of paths of the cgroups that have the view
//	requires     list of controllers       that a cgroup must have enabled to have it
//	parameters   name: number, bool, text  values of the object's const volatile variables
//	map          path                      of a pinned map to iterate over
//
// # Flavours
//
// Beside the program NAME an object may hold NAME___task, an iterator of tasks that makes the same view. It
// is run once for each process of the cgroup, or each thread where the threads of one process may live in
// different cgroups (threaded cgroups, the root, cgroup v1). It stands in when the first program cannot load
// on this kernel, when its output does not fit, and on cgroup v1, whose ids the kernel's BPF functions do not
// know.
//
// # Targets
//
// An iterator of any target of the running kernel is a view:
//
//   - cgroup: it is linked to the cgroup, and walks in the order that its tag declares.
//   - task, task_file, task_vma: it is linked to each process of the cgroup in turn, as a task flavour is, and need not
//     know of that. A header, the line that all begin with, is kept once.
//   - Any target, if the program has the map view_requests of bpf/request.h: it goes through all that the machine has, and
//     looks there which cgroup its reader asks for. One thread asks, reads and takes the request back, so readers for
//     several cgroups do not meet. That takes cgroup2 and the host's pid namespace.
//   - Any other: of no cgroup, so the root alone has it. bpf_map_elem and others that need a map are given a pinned one.
//
// # State
//
// An object's other programs (tp_btf, fentry, raw_tp, ...) are attached when all of it has loaded, and share
// their maps with the iterator. What is attached is a gate, a program of our own that goes on to the object's
// by a tail call, so a new object takes over with one update of the gate's slot: each event is seen by the
// old program or by the new one. Gates, maps and programs are pinned, and outlive this process, until the
// view is disabled; a map whose type has changed starts anew.
//
// # Kinds
//
// A text view's bytes are passed on as they are, and so are an encoded view's. A record view writes C
// structs; their type is found in the program's own BTF, at the function that carries the tag
// "bpfview:record". They are sorted by the members tagged "key" and shown as columns, JSON lines, Prometheus
// text or raw ([Format]); [View.Schema] tells their type. See bpf/bpfview.h for the tags.
//
// # Trees
//
// [View.Tree] shows a cgroup and all below it. The cgroups are listed by a BPF program into memory that is
// shared with this process (bpf/walk), or by their directories where the kernel refuses that. If the object
// holds NAME___tree (bpf/tree.h), that program is run for some hundred of them at a time, and again for those
// whose output did not fit. Else, and if the output of one of them is above 32 KiB, the view runs for one
// after the other.
//
// # Deadlocks avoided
//
// The kernel calls a cgroup iterator's program under cgroup_mutex and once more, for the epilogue, outside. A
// program that works in the first call stops mkdir, rmdir and every migration on the machine meanwhile, and
// one that faults in user memory there can wait for a filesystem that waits for the mutex. The views that
// come with this program do their work in the epilogue; whoever writes one should use view_in_epilogue of
// bpfview.h.
//
// This package never walks a path of the mirror it may be serving: cgroups are reached by id alone.
package iter
