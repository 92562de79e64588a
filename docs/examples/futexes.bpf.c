/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How long threads wait in futex(2), which is where mutexes and condition variables of user space wait: is it
 * locks that hold the program up? It takes CONFIG_FTRACE_SYSCALLS and a tracefs at /sys/kernel/tracing.
 */
#include "bpfview.h"
#include "call.h"
#include "latency.h"
#include "state.h"
#include "tree.h"

struct futexes_record {
	__u64 wait_usec[VIEW_LATENCY_SLOTS] VIEW_HISTOGRAM VIEW_UNIT("us") VIEW_HELP("waits in futex(2)");
	__u64 wait_sum_usec VIEW_SUM(wait_usec) VIEW_COUNTER VIEW_UNIT("us") VIEW_HELP("all of wait_usec together");
};

VIEW_RECORD(struct futexes_record)

VIEW_STATE(waited, struct view_latency)

/* As events/syscalls/sys_enter_futex/format has it. */
struct futexes_enter {
	__u64 common;
	__u64 number;
	__u64 address;
	__u64 operation;
};

/* Of linux/futex.h, without the flags. */
enum {
	FUTEX_OP_WAIT = 0,
	FUTEX_OP_LOCK_PI = 6,
	FUTEX_OP_WAIT_BITSET = 9,
	FUTEX_OP_WAIT_REQUEUE_PI = 11,
	FUTEX_OP_LOCK_PI2 = 13,
	FUTEX_OP_MASK = 0x7f,
};

SEC("tracepoint/syscalls/sys_enter_futex")
int futexes_enter(struct futexes_enter *ctx)
{
	switch (ctx->operation & FUTEX_OP_MASK) {
	case FUTEX_OP_WAIT:
	case FUTEX_OP_LOCK_PI:
	case FUTEX_OP_WAIT_BITSET:
	case FUTEX_OP_WAIT_REQUEUE_PI:
	case FUTEX_OP_LOCK_PI2:
		view_latency_begin((__u32)bpf_get_current_pid_tgid(), BPF_ANY);
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_futex")
int futexes_exit(void *ctx)
{
	struct view_latency *state;
	__u64 ns;

	if (!view_latency_end((__u32)bpf_get_current_pid_tgid(), &ns))
		return 0;
	state = waited_of(view_cgroup(bpf_get_current_task_btf()));
	if (state)
		view_latency_add(state, ns);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct view_latency *state = waited_seen(cgrp);
	struct futexes_record r = {};

	if (state) {
		__builtin_memcpy(r.wait_usec, state->slots, sizeof(r.wait_usec));
		r.wait_sum_usec = state->sum / 1000;
	}
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("how long threads wait for futexes: a histogram") VIEW_REQUIRES("cgroup2")
int futexes(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(futexes, show)

VIEW_TREE(futexes, show)
