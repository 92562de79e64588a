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

#define VIEW_READS VIEW_READS_THREADS
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

static __noinline int set_averages(struct psi_record *r, const struct psi_copy *psi, __u32 state)
{
	r->avg10_ppm = average(psi, state, 0);
	r->avg60_ppm = average(psi, state, 1);
	r->avg300_ppm = average(psi, state, 2);
	return 0;
}

static __always_inline void set_state(struct psi_record *r, const struct psi_copy *psi, __u32 state,
				      enum resource resource, enum stall kind)
{
	bool kept = bpf_core_field_exists(struct sched_entity, cfs_rq); /* else how old averages are is unknown */

	r->resource = resource;
	r->kind = kind;
	r->avg10_ppm = r->avg60_ppm = r->avg300_ppm = kept ? 0 : ~0;
	if (kept && psi->stalled)
		set_averages(r, psi, state);
	/* Of irq the kernel counts the time, and keeps no state. */
	r->cpus = resource == RESOURCE_IRQ ? ~0 : psi->cpus.in[state];
	r->total_nsec = psi->total[state];
}

static __noinline int show_state(struct seq_file *seq, const struct psi_copy *psi, __u32 state,
				 __u32 resource_and_stall)
{
	struct psi_record r;

	set_state(&r, psi, state, resource_and_stall >> 1, resource_and_stall & 1);
	return view_emit(seq, &r);
}

/* A walk has room for all rows. */
#define SHOW(state, resource, stall)                                                                         \
	if (bpf_core_enum_value_exists(enum psi_states, state)) {                                            \
		__u32 nr = bpf_core_enum_value(enum psi_states, state) % PSI_STATES;                         \
		if (seq)                                                                                     \
			show_state(seq, &psi, nr, resource << 1 | stall);                                    \
		else                                                                                         \
			set_state(row++, &psi, nr, resource, stall);                                         \
	}

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

/* False if pressure is off. In a walk the type of an address can be told, which saves calls. */
static __always_inline bool copy_totals(struct seq_file *seq, struct psi_group *group, struct psi_copy *psi)
{
	const __u64 *total;

	if (seq) {
		bpf_probe_read_kernel(psi->total, sizeof(psi->total), group->total);
		return BPF_CORE_READ(group, enabled);
	}
	group = view_walk_cast(struct psi_group, group);
	total = view_walk_array(group, struct psi_group, total);
	for (int i = 0; i < PSI_STATES; i++)
		psi->total[i] = total[i];
	return group->enabled;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct psi_record *row = NULL, *rows;
	struct psi_copy psi = {};
	struct psi_group *group;

	group = group_of(seq, cgrp);
	if (!group || !copy_totals(seq, group, &psi))
		return 0;
	psi_copy_averages(group, &psi);
	if (cgroup_is_populated(cgrp)) /* otherwise there is no thread to be stalled */
		psi_count_cpus(group, &psi.cpus);
	if (!seq) {
		row = view_walk_room(PSI_STATES * sizeof(*row), __alignof__(*row));
		if (!row)
			return 0;
	}
	rows = row;
	SHOW(PSI_CPU_SOME, RESOURCE_CPU, STALL_SOME);
	if (cgrp->level) /* not defined for a whole machine, where the kernel says 0 */
		SHOW(PSI_CPU_FULL, RESOURCE_CPU, STALL_FULL);
	SHOW(PSI_MEM_SOME, RESOURCE_MEMORY, STALL_SOME);
	SHOW(PSI_MEM_FULL, RESOURCE_MEMORY, STALL_FULL);
	SHOW(PSI_IO_SOME, RESOURCE_IO, STALL_SOME);
	SHOW(PSI_IO_FULL, RESOURCE_IO, STALL_FULL);
	SHOW(PSI_IRQ_FULL, RESOURCE_IRQ, STALL_FULL);
	if (!seq)
		view_walk_added((void *)row - (void *)rows);
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
	struct psi_group *group;
	const __u64 *total;

	for (int i = 0; i < VIEW_AHEAD; i++) {
		next = view_last_of(nr + i);
		if (!next || !next->group)
			break;
		group = view_walk_cast(struct psi_group, next->group);
		view_walk_touch(group->enabled);
		total = view_walk_array(group, struct psi_group, total);
		view_walk_touch(total[0]);
		view_walk_touch(total[PSI_STATES - 1]);
	}
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
