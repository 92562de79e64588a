/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/* Open files, as structs that no tag tells of: the way of bpftool's pid_iter. */
#include "foreign.h"

enum which {
	NONE,
	ALL,
	STANDARD, /* input, output and error */
};

extern const void _stext __ksym;
extern const void of_no_kernel __ksym __weak;
extern _Bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern int CONFIG_OF_NO_KERNEL __kconfig __weak;

const volatile enum which which = NONE;

struct holder {
	int pid;
	char comm[16];
};

struct file_entry {
	__u32 fd;
	struct holder _holder;
	__u64 text;
	_Bool bpf;
	void *record;
};

/* A struct that is on the stack alone is not among an object's types. */
const struct file_entry *unused_entry __attribute__((unused));

SEC("iter/task_file")
int iter(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file_entry e;

	if (!ctx->file || !task || which == NONE || (which == STANDARD && ctx->fd > 2))
		return 0;
	if (&of_no_kernel || CONFIG_OF_NO_KERNEL)
		return 0;
	__builtin_memset(&e, 0, sizeof(e));
	e.fd = ctx->fd;
	e._holder.pid = task->tgid;
	e.text = (__u64)&_stext;
	e.bpf = CONFIG_BPF_SYSCALL;
	bpf_probe_read_kernel_str(&e._holder.comm, sizeof(e._holder.comm), task->group_leader->comm);
	bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
	return 0;
}
