/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * User and system time as /proc and cpu.stat tell them. The kernel counts the two in ticks and then scales
 * them so that their sum is the exact run time (cputime_adjust in kernel/sched/cputime.c). So does this, with
 * two differences. It keeps no record of earlier results, and the scaling has 32 bits (16 µs in a day).
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

/* Divides the run time as the ticks are divided. A global function, which the verifier looks at once. */
__noinline int cputime_share(struct cputime *t)
{
	if (!t)
		return 0;
	if (t->prev_user + t->prev_system >= t->runtime) {
		t->user = t->prev_user;
		t->system = t->prev_system;
		return 0;
	}
	if (t->system) /* without a tick it is all user time */
		t->system = t->user ? scale(t->system, t->runtime, t->user + t->system) : t->runtime;
	if (t->system < t->prev_system)
		t->system = t->prev_system;
	t->user = t->runtime - t->system;
	if (t->user < t->prev_user) {
		t->user = t->prev_user;
		t->system = t->runtime - t->user;
	}
	return 0;
}

static __always_inline void cputime_adjust(struct cputime *t, const struct prev_cputime *prev)
{
	/* With CONFIG_VIRT_CPU_ACCOUNTING_NATIVE the times are exact, and prev is empty. */
	if (!bpf_core_field_exists(prev->utime))
		return;
	t->prev_user = prev->utime;
	t->prev_system = prev->stime;
	cputime_share(t);
}

#endif
