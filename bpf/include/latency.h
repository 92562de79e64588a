/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long threads wait for something, from one event to another, as a histogram. */
#ifndef BPFVIEW_LATENCY_H
#define BPFVIEW_LATENCY_H

#include "bpfview.h"

#define VIEW_LATENCY_SLOTS 27 /* of powers of two of a microsecond; the last is for a minute and more */

struct view_latency {
	__u64 slots[VIEW_LATENCY_SLOTS];
	__u64 sum; /* ns */
};

/*
 * The beginning of each wait. The view chooses the key, for example the id of a thread or the address of a
 * socket. It is no task storage. Before v6.4 that asks the allocator, which under the scheduler's locks may
 * wake kswapd, which takes the locks. All of this is allocated at the start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768); /* waits at one time; more are not counted */
	__type(key, __u64);
	__type(value, __u64); /* ns */
} view_since SEC(".maps");

/* flags is BPF_ANY, or BPF_NOEXIST for a wait that may have begun already. */
static __always_inline void view_latency_begin(__u64 key, __u64 flags)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&view_since, &key, &now, flags);
}

/* Sets the time since view_latency_begin; false if there was none. */
static __always_inline bool view_latency_end(__u64 key, __u64 *ns)
{
	__u64 *since = bpf_map_lookup_elem(&view_since, &key);
	__s64 passed;

	if (!since)
		return false;
	passed = bpf_ktime_get_ns() - *since;
	*ns = passed > 0 ? passed : 0; /* the clock may step back a little (ktime_get_mono_fast_ns) */
	bpf_map_delete_elem(&view_since, &key);
	return true;
}

static __always_inline __u32 view_latency_slot(__u64 usec)
{
	__u32 slot = 0;

	for (__u32 shift = 32; shift; shift >>= 1)
		if (usec >> shift) {
			usec >>= shift;
			slot += shift;
		}
	return slot < VIEW_LATENCY_SLOTS ? slot : VIEW_LATENCY_SLOTS - 1;
}

static __always_inline void view_latency_add(struct view_latency *latency, __u64 ns)
{
	__sync_fetch_and_add(&latency->slots[view_latency_slot(ns / 1000)], 1);
	__sync_fetch_and_add(&latency->sum, ns);
}

#endif
