/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * Lists a cgroup and all below it, and shows nothing about them. No view. If it cannot load, walk.bpf.c lists
 * them.
 */
#define VIEW_READS 0
#include "walk.h"

__noinline int list_one(__u64 address)
{
	return view_walk_enter(address);
}

SEC("iter/task")
int list(struct bpf_iter__task *ctx)
{
	return ctx->task ? view_walk_piece(list_one) : 0;
}
