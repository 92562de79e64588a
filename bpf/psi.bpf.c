/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * Pressure, with a record for each resource and kind that the kernel counts for the cgroup. There is none if
 * pressure is off, by cgroup.pressure or from boot on.
 *
 * The totals are the kernel's last sums over all CPUs. Its worker makes them every 2 s while the cgroup has
 * anything to do, and so does a reader of the cgroup's pressure files. The time since then is not guessed.
 * The kernel weighs CPUs by how busy they were between two sums, so a guess may be above the next sum. But a
 * counter never falls.
 */
#include "bpfview.h"
#include "call.h"
#include "css.h"
#include "psi.h"
#include "tree.h"

enum resource {
	RESOURCE_CPU,
	RESOURCE_MEMORY,
	RESOURCE_IO,
	RESOURCE_IRQ,
};

enum stall {
	STALL_SOME,
	STALL_FULL,
};

#define AVERAGE(window)                                                                                      \
	VIEW_GAUGE VIEW_UNIT("ppm") VIEW_AVERAGE VIEW_OPTIONAL                                               \
	VIEW_HELP("share of the last " window " s for which threads were stalled, updated every 2 s")

struct psi_record {
	enum resource resource VIEW_KEY VIEW_HELP("what was waited for: cpu, memory, io, irq");
	enum stall kind VIEW_KEY VIEW_HELP("some: a thread waited; full: threads waited and none got on");
	__u32 avg10_ppm AVERAGE("10");
	__u32 avg60_ppm AVERAGE("60");
	__u32 avg300_ppm AVERAGE("300");
	__u32 cpus VIEW_GAUGE VIEW_OPTIONAL
		VIEW_HELP("CPUs on which threads are stalled now; missing for irq");
	__u64 total_nsec VIEW_COUNTER VIEW_UNIT("ns")
		VIEW_HELP("time for which threads were stalled, as summed up at most 2 s ago");
};

VIEW_RECORD(struct psi_record)

/*
 * The share that an update without pressure leaves of the averages of 10, 60 and 300 s. It is EXP_10s and so
 * on, of 1 << PSI_FSHIFT.
 */
static const __u32 fractions[PSI_AVERAGES] = {1677, 1981, 2034};

static __always_inline __u32 average(const struct psi_copy *psi, __u32 state, int window)
{
	__u32 avg = psi->avg[state * PSI_AVERAGES + window];

	if (avg && psi->updates)
		avg = psi_decay(avg, fractions[window], psi->updates);
	return (__u64)avg * 10000 >> PSI_FSHIFT;
}

static __noinline int show_state(struct seq_file *seq, const struct psi_copy *psi, __u32 state,
				 __u32 resource_and_stall)
{
	struct psi_record r;

	__builtin_memset(&r, 0xff, sizeof(r));
	r.resource = resource_and_stall >> 1;
	r.kind = resource_and_stall & 1;
	if (bpf_core_field_exists(struct sched_entity, cfs_rq)) {
		r.avg10_ppm = average(psi, state, 0);
		r.avg60_ppm = average(psi, state, 1);
		r.avg300_ppm = average(psi, state, 2);
	}
	if (r.resource != RESOURCE_IRQ) /* the kernel counts its time, and keeps no state of it */
		r.cpus = psi->cpus.in[state];
	r.total_nsec = psi->total[state];
	return view_emit(seq, &r);
}

#define SHOW(state, resource, stall)                                                                         \
	if (bpf_core_enum_value_exists(enum psi_states, state))                                              \
	show_state(seq, &psi, bpf_core_enum_value(enum psi_states, state) % PSI_STATES, resource << 1 | stall)

/* The groups in the order of a walk. A cgroup has the same one all its life. */
struct last_group {
	__u64 serial, group;
};

VIEW_LAST(struct last_group)

static __always_inline struct psi_group *group_of(struct seq_file *seq, struct cgroup *cgrp)
{
	struct psi_group *group;
	struct last_group *last;
	__u64 serial;

	if (seq)
		return cgroup_psi(cgrp);
	last = view_last_of(view_shown.cgroups);
	serial = view_walk_serial(&cgrp->self);
	if (last && last->serial == serial && last->group)
		return (struct psi_group *)last->group;
	group = cgroup_psi(cgrp);
	if (last) {
		last->serial = serial;
		last->group = view_walk_number(group);
	}
	return group;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct psi_copy psi = {};
	struct psi_group *group;

	group = group_of(seq, cgrp);
	if (!group || !BPF_CORE_READ(group, enabled))
		return 0;
	psi_copy(group, &psi);
	if (cgroup_is_populated(cgrp)) /* otherwise there is no thread to be stalled */
		psi_count_cpus(group, &psi.cpus);
	SHOW(PSI_CPU_SOME, RESOURCE_CPU, STALL_SOME);
	if (cgrp->level) /* not defined for a whole machine, where the kernel says 0 */
		SHOW(PSI_CPU_FULL, RESOURCE_CPU, STALL_FULL);
	SHOW(PSI_MEM_SOME, RESOURCE_MEMORY, STALL_SOME);
	SHOW(PSI_MEM_FULL, RESOURCE_MEMORY, STALL_FULL);
	SHOW(PSI_IO_SOME, RESOURCE_IO, STALL_SOME);
	SHOW(PSI_IO_FULL, RESOURCE_IO, STALL_FULL);
	SHOW(PSI_IRQ_FULL, RESOURCE_IRQ, STALL_FULL);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("pressure: how long threads waited for CPU, memory and IO, and do now") VIEW_VERSION(3)
VIEW_REQUIRES("cgroup2")
int psi(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(psi, show)

/* Loads the lines of the next groups that are always read, as view_walk_fetch does those of cgroups. */
__noinline int psi_fetch(__u32 nr)
{
	struct last_group *next;
	__u64 words = 0;

	for (int i = 0; i < VIEW_AHEAD; i++) {
		next = view_last_of(nr + i);
		if (!next || !next->group)
			break;
		words += view_walk_word(next->group, struct psi_group, enabled);
		words += view_walk_word(next->group, struct psi_group, total[0]);
		words += view_walk_word(next->group, struct psi_group, total[PSI_STATES - 1]);
	}
	view_walk_spilled = words;
	return 0;
}

static __always_inline int show_and_fetch(struct seq_file *seq, struct cgroup *cgrp)
{
	__u32 nr = view_shown.cgroups;

	if (nr % VIEW_AHEAD == 0)
		psi_fetch(nr + VIEW_AHEAD);
	return show(seq, cgrp);
}

VIEW_BATCHES(psi, show)
VIEW_WALK(psi, show_and_fetch)
