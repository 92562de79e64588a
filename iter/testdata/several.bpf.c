/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Two views in one object, plain global variables, a map that another program fills, and programs of kinds that no view has. */
#include "foreign.h"

#define BPF_MAP_TYPE_HASH 1

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} bpfview_test_map SEC(".maps");

__u32 only; /* process, 0 for all */
char mark[8] = "pid";

SEC("iter/task")
int several_pids(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && task->pid == task->tgid && (!only || only == task->pid))
		BPF_SEQ_PRINTF(ctx->meta->seq, "%s %d\n", mark, task->pid);
	return 0;
}

SEC("iter/task")
int several_counts(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 pid;
	__u64 *count;

	if (!task || task->pid != task->tgid)
		return 0;
	pid = task->pid;
	count = bpf_map_lookup_elem(&bpfview_test_map, &pid);
	if (count)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%d %llu\n", pid, *count);
	return 0;
}

SEC("syscall")
int several_setup(void *ctx)
{
	return 0;
}

SEC("cgroup/sock_create")
int several_sockets(void *ctx)
{
	return 1;
}
