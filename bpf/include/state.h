/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Include this in a stateful view. Its object holds, beside the iterator that shows, other programs that
 * count. They are attached while the view is enabled, and share their maps with the iterator.
 *
 *	VIEW_STATE(forks, struct forks_state)
 *
 *	SEC("tp_btf/sched_process_fork")
 *	int BPF_PROG(count, struct task_struct *parent, struct task_struct *child)
 *	{
 *		struct forks_state *state = forks_of(view_cgroup(parent));
 *
 *		if (state)
 *			__sync_fetch_and_add(&state->count, 1);
 *		return 0;
 *	}
 *
 * and in show(), state = forks_seen(cgrp).
 *
 * Maps outlive a new version of the object as long as their types stay the same, and they outlive the server.
 * Global variables start anew with each load, so counters belong in a map. An event is seen by the old
 * programs or by the new ones, never by both.
 */
#ifndef BPFVIEW_STATE_H
#define BPFVIEW_STATE_H

#include "bpfview.h"
#include <bpf/bpf_tracing.h>

#define VIEW_MAX_CGROUPS 65536

#define VIEW_CSS_ONLINE 2 /* a bit of flags; the enum has no name to look it up by */

/* The cgroup2 cgroup that a task lives in. */
static __always_inline struct cgroup *view_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

/* A cgroup's state, or NULL if there is none. Then nothing was counted, or it is not of cgroup2. */
static __always_inline void *view_state_seen(void *map, struct cgroup *cgrp)
{
	__u64 id = cgrp->kn->id;

	return cgrp->root->hierarchy_id ? NULL : bpf_map_lookup_elem(map, &id);
}

/*
 * A cgroup's state, made of zero if need be. NULL if the cgroup was removed, or there are VIEW_MAX_CGROUPS.
 */
static __always_inline void *view_state_of(void *map, struct cgroup *cgrp, const void *zero)
{
	__u64 id = cgrp->kn->id;
	void *state = bpf_map_lookup_elem(map, &id);

	if (state)
		return state;
	bpf_map_update_elem(map, &id, zero, BPF_NOEXIST);
	/*
	 * A dying task may still be met in its removed cgroup. This is asked after the update, because the
	 * removal may be under way.
	 */
	if (!(cgrp->self.flags & VIEW_CSS_ONLINE)) {
		bpf_map_delete_elem(map, &id);
		return NULL;
	}
	return bpf_map_lookup_elem(map, &id);
}

/*
 * VIEW_STATE(NAME, TYPE) gives every cgroup a TYPE, all zero at first, which goes with the cgroup:
 *
 *	TYPE *NAME_of(cgrp)	for programs that count; made at the first call
 *	TYPE *NAME_seen(cgrp)	for the iterator
 *
 * Both may give NULL. Programs on several CPUs may hold the same one, so add with __sync_fetch_and_add.
 */
#define VIEW_STATE(NAME, TYPE)                                                                               \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_HASH);                                                             \
		__uint(max_entries, VIEW_MAX_CGROUPS);                                                       \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                        \
		__type(key, __u64); /* cgroup id */                                                          \
		__type(value, TYPE);                                                                         \
	} NAME SEC(".maps");                                                                                 \
                                                                                                             \
	static const TYPE NAME##_zero;                                                                       \
                                                                                                             \
	static __always_inline TYPE *NAME##_of(struct cgroup *cgrp)                                          \
	{                                                                                                    \
		return view_state_of(&NAME, cgrp, &NAME##_zero);                                             \
	}                                                                                                    \
                                                                                                             \
	static __always_inline TYPE *NAME##_seen(struct cgroup *cgrp)                                        \
	{                                                                                                    \
		return view_state_seen(&NAME, cgrp);                                                         \
	}                                                                                                    \
                                                                                                             \
	SEC("tp_btf/cgroup_rmdir")                                                                           \
	int BPF_PROG(NAME##_rmdir, struct cgroup *cgrp)                                                      \
	{                                                                                                    \
		__u64 id = cgrp->kn->id;                                                                     \
                                                                                                             \
		if (!cgrp->root->hierarchy_id)                                                               \
			bpf_map_delete_elem(&NAME, &id);                                                     \
		return 0;                                                                                    \
	}

#endif
