/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * One record for each process of the cgroup. A process with threads in several cgroups is in the cgroup of
 * its first living thread, with the CPU time of all.
 *
 * Of its command line there are only the names of the thread and of the program's file. The words are in the
 * process's memory. A program that reads them waits for them, perhaps for a FUSE server that never answers.
 * It may also wait for the file system that this view is read through, and so for itself.
 */
#include "bpfview.h"
#include "call.h"
#include "cputime.h"
#include "css.h"
#include "rss.h"
#include "threads.h"
#include "batches.h"

#define MEMORY(help) VIEW_GAUGE VIEW_UNIT("bytes") VIEW_OPTIONAL VIEW_HELP(help)

struct processes_record {
	__u32 pid VIEW_KEY VIEW_HELP("process id");
	__u32 ppid VIEW_HELP("process id of the parent");
	__u32 nspid VIEW_OPTIONAL VIEW_HELP("process id in its own, the innermost, pid namespace");
	__u32 uid VIEW_HELP("effective user id, as the initial user namespace has it");
	__u32 threads VIEW_GAUGE VIEW_HELP("threads of the process that live");
	__s32 oom_score_adj VIEW_GAUGE
		VIEW_HELP("adjustment of the score that the OOM killer gives the process: -1000 to 1000");
	__u64 user_usec VIEW_COUNTER VIEW_UNIT("us")
		VIEW_HELP("CPU time in user mode, of all threads that the process ever had");
	__u64 system_usec VIEW_COUNTER VIEW_UNIT("us")
		VIEW_HELP("CPU time in the kernel, of all threads that the process ever had");
	__u64 rss_bytes MEMORY("resident memory of the process; missing while that is its parent's (vfork)");
	__u64 anon_bytes MEMORY("resident memory of the process that no file backs");
	__u64 file_bytes MEMORY("resident memory of the process that files back");
	__u64 shmem_bytes MEMORY("resident memory of the process in tmpfs and shared memory");
	__u64 swap_bytes MEMORY("memory of the process that is swapped out");
	__u64 major_faults VIEW_COUNTER VIEW_HELP("page faults of the process that waited for a disk");
	__u64 open_files VIEW_GAUGE VIEW_OPTIONAL
		VIEW_HELP("file descriptors in the table of the first thread");
	__u64 start_usec VIEW_GAUGE VIEW_UNIT("us")
		VIEW_HELP("time from boot to the start of the process, as in /proc/PID/stat");
	__u64 cgroup2_id VIEW_CGROUP VIEW_HELP("id of its cgroup in cgroup2, also where this is cgroup v1");
	char comm[16] VIEW_HELP("name of its main thread");
	char program[64] VIEW_HELP("name of the file that it executes, up to 63 bytes");
};

VIEW_RECORD(struct processes_record)

/* The last answers about processes, by their first threads. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cputime_record);
} process_times SEC(".maps") VIEW_KEPT("task");

/* The sums over all threads of a process. */
struct sum {
	struct threads walk;
	__u32 living;
	__u64 major_faults;
	struct cputime cpu;
};

static int sum_thread(__u32 i, struct sum *sum)
{
	struct task_struct *task = threads_next(&sum->walk);

	if (!task)
		return 1;
	sum->living += !BPF_CORE_READ(task, exit_state);
	sum->major_faults += BPF_CORE_READ(task, maj_flt);
	sum->cpu.user += BPF_CORE_READ(task, utime);
	sum->cpu.system += BPF_CORE_READ(task, stime);
	sum->cpu.runtime += BPF_CORE_READ(task, se.sum_exec_runtime);
	return 0;
}

struct process {
	struct task_struct *task;
	struct sum sum;
};

/*
 * A thread that ends hands over its sums, under a sequence lock. If one did meanwhile, all is summed again.
 */
static int sum_threads(__u32 i, struct process *p)
{
	struct task_struct *task = p->task;
	struct signal_struct *signal = task->signal;
	struct sum *sum = &p->sum;
	__u32 sequence = BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);

	sum->living = 0;
	sum->major_faults = BPF_CORE_READ(signal, maj_flt);
	sum->cpu.user = BPF_CORE_READ(signal, utime);
	sum->cpu.system = BPF_CORE_READ(signal, stime);
	sum->cpu.runtime = BPF_CORE_READ(signal, sum_sched_runtime);
	threads_begin(&sum->walk, task);
	bpf_loop(MOST_THREADS, sum_thread, sum, 0);
	return !(sequence & 1) && sequence == BPF_CORE_READ(signal, stats_lock.seqcount.seqcount.sequence);
}

#define WORDS 8
#define MOST_FILES (1 << 30) /* fs.nr_open has at most that */

struct descriptors {
	struct fdtable *table;
	__u64 count;
};

static __always_inline __u32 bits(__u64 word)
{
	word -= word >> 1 & 0x5555555555555555;
	word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return word * 0x0101010101010101 >> 56;
}

static int count_some(__u32 i, struct descriptors *d)
{
	__u64 words[WORDS] = {};
	struct fdtable *table = d->table;
	__u32 max = BPF_CORE_READ(table, max_fds), from = i * 64 * WORDS, size = sizeof(words);
	void *open = BPF_CORE_READ(table, open_fds);

	if (from >= max)
		return 1;
	if (max - from < 64 * WORDS) /* it is a multiple of 64 */
		size = (max - from) / 8 & (sizeof(words) - 1);
	bpf_probe_read_kernel(words, size, open + from / 8);
	for (int k = 0; k < WORDS; k++)
		d->count += bits(words[k]);
	return 0;
}

static __noinline __u64 count_files(struct task_struct *task)
{
	struct descriptors d = {.table = BPF_CORE_READ(task, files, fdt)};

	if (!d.table)
		return ~0ULL;
	bpf_loop(MOST_FILES / (64 * WORDS), count_some, &d, 0);
	return d.count;
}

static __noinline void set_memory(struct seq_file *seq, struct task_struct *task, struct processes_record *r)
{
	struct rss rss = {};

	task_rss(seq, task, &rss);
	r->rss_bytes = rss_resident(&rss);
	r->anon_bytes = rss.bytes[RSS_ANON];
	r->file_bytes = rss.bytes[RSS_FILE];
	r->shmem_bytes = rss.bytes[RSS_SHMEM];
	r->swap_bytes = rss.bytes[RSS_SWAP];
}

static __noinline void set_sums(struct task_struct *task, struct processes_record *r)
{
	struct process p = {.task = task};

	bpf_loop(8, sum_threads, &p, 0);
	cputime_adjust(&p.sum.cpu, &task->signal->prev_cputime,
		       bpf_task_storage_get(&process_times, task->group_leader, NULL,
					    BPF_LOCAL_STORAGE_GET_F_CREATE));
	r->threads = p.sum.living;
	r->major_faults = p.sum.major_faults;
	r->user_usec = p.sum.cpu.user / 1000;
	r->system_usec = p.sum.cpu.system / 1000;
}

static __noinline int show_process(struct seq_file *seq, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	struct processes_record r;

	__builtin_memset(&r, 0, sizeof(r));
	r.pid = task->tgid;
	r.ppid = task->real_parent->tgid;
	r.nspid = task_nspid(leader);
	r.uid = task->real_cred->euid.val;
	r.oom_score_adj = task->signal->oom_score_adj;
	r.start_usec = leader->start_boottime / 1000;
	r.open_files = count_files(task);
	r.cgroup2_id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	bpf_probe_read_kernel_str(r.comm, sizeof(r.comm), leader->comm);
	bpf_probe_read_kernel_str(r.program, sizeof(r.program), BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
	set_sums(task, &r);
	set_memory(seq, task, &r);
	return view_emit(seq, &r);
}

static __always_inline void show_if_first(struct seq_file *seq, struct task_struct *task)
{
	if (task_is_first(task))
		show_process(seq, task);
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct bpf_iter_css_task it;
	struct task_struct *task;

	if (!cgroup_has_tasks(cgrp))
		return 0;
	if (bpf_iter_css_task_new(&it, &cgrp->self, 0))
		view_fail(seq);
	while (!view_full(seq) && (task = bpf_iter_css_task_next(&it)))
		if (!view_task_is_dead(task))
			show_if_first(seq, task);
	bpf_iter_css_task_destroy(&it);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("processes: threads, CPU time, memory, faults, open files, start, program")
int processes(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(processes, show)

VIEW_TASK(processes, show_if_first)

VIEW_BATCHES(processes, show)
