// Package iter runs views: BPF iterator programs that tell something about one cgroup.
//
// # What a run is
//
// A view is an object file NAME.bpf.o with an iterator program called NAME. [Load] verifies the programs once and
// holds them; nothing is held for any cgroup. One run makes a link of the program to one cgroup, makes an iterator of
// the link, reads it to its end into memory and closes both. That costs some 4 µs over the program's own work, and it
// is what keeps removed cgroups from lingering: a link or an iterator that is held keeps its struct cgroup alive
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
// # Flavours
//
// Beside the program NAME an object may hold NAME___task, an iterator of tasks that makes the same view. It is run
// once for each process of the cgroup, or each thread where the threads of one process may live in different cgroups
// (threaded cgroups, the root, cgroup v1). It stands in when the first program cannot load on this kernel, when its
// output does not fit, and on cgroup v1, whose ids the kernel's BPF functions do not know.
//
// # Kinds
//
// A text view's bytes are passed on as they are, and so are an encoded view's. A record view writes C structs; their
// type is found in the program's own BTF, at the function that carries the tag "bpfview:record". They are sorted by the
// members tagged "key" and shown as columns, JSON lines, Prometheus text or raw ([Format]); [View.Schema] tells their
// type. See bpf/bpfview.h for the tags.
//
// # Trees
//
// [View.Tree] shows a cgroup and all below it. The cgroups are listed by a BPF program into memory that is shared with
// this process (bpf/walk), or by their directories where the kernel refuses that. If the object holds NAME___tree
// (bpf/tree.h), the array of their ids is what that program runs over: it is one iterator, read to its end, however many
// cgroups there are. Else, and if the output of one of them is above 32 KiB, the view runs for one after the other.
//
// # Deadlocks avoided
//
// The kernel calls a cgroup iterator's program under cgroup_mutex and once more, for the epilogue, outside. A program
// that works in the first call stops mkdir, rmdir and every migration on the machine meanwhile, and one that
// faults in user memory there can wait for a filesystem that waits for the mutex. The views that come with this
// program do their work in the epilogue; whoever writes one should use view_in_epilogue of bpfview.h.
//
// This package never walks a path of the mirror it may be serving: cgroups are reached by id alone.
package iter
