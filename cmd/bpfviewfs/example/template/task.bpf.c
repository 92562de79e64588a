/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The view NAME: a file of this name in every cgroup's directory, with a row for each thread.
 *
 *	make            build NAME.bpf.o
 *	make check      load it, run it once, and report the kernel's answer
 *	make install    hand it to bpfviewfs; the file appears within a second
 *
 * It iterates tasks and knows nothing of cgroups: it is run for each process of the cgroup. Its output may have
 * any size. bpfview.h describes the functions for views, kernel.h has the kernel's types.
 */
#include "bpfview.h"
#include "task.h"

/*
 * One record. Its members are the columns of text, the keys of JSON and, where they are a gauge or a counter, Prometheus
 * metrics. When you change it, raise the version below: readers rely on it.
 */
struct NAME_record {
	__u32 pid VIEW_KEY VIEW_HELP("process id");
	__u32 tid VIEW_KEY VIEW_HELP("thread id");
	__u64 age_usec VIEW_GAUGE VIEW_UNIT("us") VIEW_HELP("since it was started");
	char state VIEW_HELP("as in ps: R runs or wants to, S sleeps, D waits and cannot be interrupted");
	char comm[16] VIEW_HELP("name");
};

VIEW_RECORD(struct NAME_record)

SEC("iter/task") VIEW_HELP("the cgroup's threads, how old they are and what they do") VIEW_VERSION(1)
int NAME(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct NAME_record r;

	if (!task || view_task_is_dead(task)) /* it is called once more without a task at the end */
		return 0;
	__builtin_memset(&r, 0, sizeof(r)); /* padding, too: all of it leaves the kernel */
	r.pid = task->tgid;
	r.tid = task->pid;
	r.age_usec = (bpf_ktime_get_boot_ns() - task->start_boottime) / 1000;
	r.state = view_task_state(task);
	bpf_probe_read_kernel_str(r.comm, sizeof(r.comm), task->comm);
	view_emit(ctx->meta->seq, &r);
	return 0;
}
