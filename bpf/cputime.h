/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * User and system time as /proc and cpu.stat tell them. The kernel counts the two in ticks and then scales them so
 * that their sum is the exact run time (cputime_adjust in kernel/sched/cputime.c). So does this, but for two things:
 * it keeps no record of what it said, and the scaling has 32 bits (16 µs in a day).
 */
#ifndef BPFVIEW_CPUTIME_H
#define BPFVIEW_CPUTIME_H

#include "bpfview.h"

/* a * b / c for a <= c. BPF has no 128-bit numbers: what c has above 32 bits is cut off all three. */
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

/* Parts the exact run time as the ticks were parted. All in nanoseconds. */
static __always_inline void share(__u64 *user, __u64 *system, __u64 runtime)
{
	if (!*user)
		*system = runtime;
	else if (*system)
		*system = scale(*system, runtime, *user + *system);
	*user = runtime - *system;
}

/* The same, but never below what the kernel said last. */
static __always_inline void adjust(__u64 *user, __u64 *system, __u64 runtime, const struct prev_cputime *prev)
{
	__u64 prev_user, prev_system;

	/* CONFIG_VIRT_CPU_ACCOUNTING_NATIVE: both are exact, and this is empty. */
	if (!bpf_core_field_exists(prev->utime))
		return;
	prev_user = BPF_CORE_READ(prev, utime);
	prev_system = BPF_CORE_READ(prev, stime);
	if (prev_user + prev_system >= runtime) {
		*user = prev_user;
		*system = prev_system;
		return;
	}
	share(user, system, runtime);
	if (*system < prev_system)
		*system = prev_system;
	*user = runtime - *system;
	if (*user < prev_user) {
		*user = prev_user;
		*system = runtime - *user;
	}
}

#endif
