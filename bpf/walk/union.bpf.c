/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * Walks for several views at once. No view: user space puts calls of their NAME_walk_show in the place of the
 * body of union_show, with the maps of each (iter/runs/join.go). So all views of a cgroup are shown back to
 * back, beside one list of cgroups.
 */
#include "walk.h"

__u64 union_skew_nsec; /* the longest time from the begin of a cgroup's first view to the end of its last */

__noinline int union_show(__u64 address)
{
	int failed = address == 0;

	asm volatile("" : "+r"(failed)); /* the compiler must not know the result */
	return failed;
}

__noinline int union_one(__u64 address)
{
	__u64 begin, took;

	if (view_walk_enter(address))
		return 1;
	begin = bpf_ktime_get_boot_ns();
	if (union_show(address))
		return 1;
	took = bpf_ktime_get_boot_ns() - begin;
	if (took > union_skew_nsec)
		union_skew_nsec = took;
	return 0;
}

SEC("iter/task")
int walk_union(struct bpf_iter__task *ctx)
{
	return ctx->task ? view_walk_piece(union_one) : 0;
}
