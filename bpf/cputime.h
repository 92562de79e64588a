/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * User and system time as /proc and cpu.stat tell them. The kernel counts the two in ticks and then scales
 * them so that their sum is the exact run time (cputime_adjust in kernel/sched/cputime.c). So does this, with
 * 32 bits (16 µs in a day).
 *
 * A ratio of ticks goes up and down, so one of the two would fall now and then while the other one rises. No
 * function of the three numbers alone keeps both from it. The kernel remembers its last answer, and makes a new
 * one only when its own file is read. So a view has a record of its last answer. All programs that show the
 * same thing share the map of these records, also with those of other servers (VIEW_KEPT in bpfview.h).
 */
#ifndef BPFVIEW_CPUTIME_H
#define BPFVIEW_CPUTIME_H

#include "bpfview.h"

/* a * b / c for a <= c. BPF has no 128-bit numbers, so the bits of c above 32 are cut off all three. */
static __always_inline __u64 scale(__u64 a, __u64 b, __u64 c)
{
	__u64 whole = b / c * a, rest = b % c, top = c >> 32;
	__u32 shift = 0;

	if (top >> 16) {
		shift += 16;
		top >>= 16;
	}
	if (top >> 8) {
		shift += 8;
		top >>= 8;
	}
	if (top >> 4) {
		shift += 4;
		top >>= 4;
	}
	if (top >> 2) {
		shift += 2;
		top >>= 2;
	}
	if (top >> 1) {
		shift += 1;
		top >>= 1;
	}
	shift += top;
	return whole + ((a >> shift) * (rest >> shift) / (c >> shift) << shift);
}

struct cputime {
	__u64 user, system; /* ns, as the ticks have them */
	__u64 runtime;	    /* ns, exact */
	__u64 prev_user, prev_system; /* ns, the kernel's last answer, below which it never goes */
};

/*
 * The last answer about one thing. Both times only rise. So times of two answers, if a reader meets a writer
 * between its two stores, are as good as those of one. They are no less than any earlier answer, and no more
 * than any later one.
 */
struct cputime_record {
	__u64 user, system; /* ns */
	__u64 locked;
};

#define CPUTIME_TRIES 100 /* to lock; a writer holds the lock for some ten ns */

/* Divides total so that neither part is less than it was, if they are no more together. */
static __always_inline void cputime_raise(struct cputime *t, __u64 total, __u64 user, __u64 system)
{
	if (t->system < system)
		t->system = system;
	t->user = total - t->system;
	if (t->user < user) {
		t->user = user;
		t->system = total - user;
	}
}

/* Divides the run time as the ticks are divided, and never below the kernel's last answer. */
static __always_inline void cputime_share(struct cputime *t)
{
	if (t->prev_user + t->prev_system >= t->runtime) {
		t->user = t->prev_user;
		t->system = t->prev_system;
		t->runtime = t->user + t->system;
		return;
	}
	if (t->system) /* without a tick it is all user time */
		t->system = t->user ? scale(t->system, t->runtime, t->user + t->system) : t->runtime;
	cputime_raise(t, t->runtime, t->prev_user, t->prev_system);
}

/*
 * Divides the run time, below neither the kernel's last answer nor the record's; the record goes first where
 * the two contradict each other. If time passed since the last answer, this one is recorded. A global function,
 * which the verifier looks at once.
 *
 * The lock is a word in the record, because some of the programs sleep, and such a program may have a
 * bpf_spin_lock only since Linux 6.7. If the kernel preempts a program that has the lock, the
 * next one gives up soon, and gives the last answer again.
 */
__noinline int cputime_divide(struct cputime *t, struct cputime_record *record)
{
	volatile struct cputime_record *last = record;
	__u64 user, system;

	if (!t || !last)
		return 0;
	user = last->user;
	system = last->system;
	if (user + system >= t->runtime) /* as for most cgroups, which are idle */
		goto answered;
	cputime_share(t);
	for (int i = 0; i < CPUTIME_TRIES; i++) {
		if (__sync_val_compare_and_swap(&record->locked, 0, 1))
			continue;
		user = last->user;
		system = last->system;
		if (user + system < t->runtime) {
			cputime_raise(t, t->runtime, user, system);
			last->user = user = t->user;
			last->system = system = t->system;
		}
		__sync_lock_test_and_set(&record->locked, 0);
		goto answered;
	}
	user = last->user;
	system = last->system;
	if (!user && !system) /* this is the first answer, beside another one */
		return 0;
answered:
	t->user = user;
	t->system = system;
	t->runtime = user + system;
	return 0;
}

/* A record may be NULL. Then there was no room for one, and the times may fall. */
static __always_inline void cputime_adjust(struct cputime *t, const struct prev_cputime *prev,
					   struct cputime_record *record)
{
	struct cputime_record none = {};

	/* With CONFIG_VIRT_CPU_ACCOUNTING_NATIVE the times are exact, and prev is empty. */
	if (!bpf_core_field_exists(prev->utime))
		return;
	t->prev_user = prev->utime;
	t->prev_system = prev->stime;
	cputime_divide(t, record ? record : &none);
}

#endif
