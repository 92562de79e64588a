/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The view NAME: text in a file of this name in every cgroup's directory.
 *
 *	make            build NAME.bpf.o
 *	make check      load it, run it once, and report the kernel's answer
 *	make install    hand it to bpfviewfs; the file appears within a second
 *
 * Text is for people. It has no JSON and no metrics: bpfviewfs new --kind record begins a view that has both.
 * Names that a process or a user may choose can hold line ends. Print none, or a record.
 */
#include "bpfview.h"
#include "call.h"

/* Runs once for each read, for the cgroup of the file. It does not hold cgroup_mutex, so it may take its time. */
static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	VIEW_PRINTF(seq, "level        %d\n", cgrp->level);
	VIEW_PRINTF(seq, "descendants  %d\n", cgrp->nr_descendants);
	VIEW_PRINTF(seq, "dying        %d\n", cgrp->nr_dying_descendants);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("how deep the cgroup is, and how many are below it")
int NAME(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(NAME, show)
