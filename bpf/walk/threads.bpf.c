/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * Lists the living threads of a process with the table of files and the address space of each. It is no view.
 * User space learns from it which thread to ask for files or memory that several of them share.
 */
#include "bpfview.h"
#include "task.h"

/* Read by iter/holders.go. */
struct holder {
	__u32 tid; /* in the reader's pid namespace */
	__u32 padding;
	__u64 files;  /* addresses, which are only compared; 0 while the thread exits */
	__u64 memory; /* 0 also for a kernel thread */
};

/* An iterator is linked to a thread by the id that its reader's pid namespace knows. */
static __always_inline __u32 tid_for_reader(const struct task_struct *task)
{
	struct task_struct *reader = (struct task_struct *)bpf_get_current_task();
	struct pid *pid = task->thread_pid;
	__u32 level = BPF_CORE_READ(reader, thread_pid, level), tid = 0;

	if (pid && level <= pid->level)
		bpf_probe_read_kernel(&tid, sizeof(tid), &pid->numbers[level].nr);
	return tid;
}

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct holder h = {};

	if (!task || view_task_is_dead(task))
		return 0;
	h.tid = tid_for_reader(task);
	h.files = (__u64)BPF_CORE_READ(task, files);
	h.memory = (__u64)BPF_CORE_READ(task, mm);
	if (h.tid)
		bpf_seq_write(ctx->meta->seq, &h, sizeof(h));
	return 0;
}
