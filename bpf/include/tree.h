/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VIEW_TREE(NAME, show) makes a view fast for whole sub-trees. It stands below the view's own program, with
 * the same show:
 *
 *	#include "tree.h"	beside bpfview.h, above VIEW_RECORD
 *
 *	VIEW_TREE(NAME, show)
 *
 * It defines two programs. NAME___walk shows all cgroups in one pass, into memory that user space maps (see
 * walk.h). It needs Linux 6.4, and a show with two properties.
 *
 * - It writes with view_emit alone, because seq is NULL here. Rows of one cgroup above 256 KiB end the walk.
 * - It reads cgrp, and does not give it to a function of the kernel, because the cgroup is untrusted. If a
 *   function needs it, ask for bpf_cgroup_from_id(cgrp->kn->id), and if possible only if the cgroup has
 *   something to show.
 *
 * A pass mostly waits for memory, so the members of struct cgroup that shows read most are loaded ahead. A view
 * that reads fewer of them defines VIEW_READS (see walk.h).
 *
 * If the verifier refuses NAME___walk, NAME___tree shows the cgroups in batches (see batches.h, also for the
 * flushing of statistics, which holds for both). A show that can never be walked belongs in VIEW_BATCHES alone:
 * then each program of the object loads, as tools want that load all of them or none. A walk with a show of its
 * own is VIEW_WALK(NAME, show) beside VIEW_BATCHES.
 */
#ifndef BPFVIEW_TREE_H
#define BPFVIEW_TREE_H

#include "batches.h"
#include "walk.h"

#define VIEW_ROWS_SIZE 4096
#define VIEW_WALK_ROWS (256 << 10) /* bytes about one cgroup, because the CPU does nothing else meanwhile */

/*
 * The rows that the view writes in a walk, one cgroup after the other. A union has the list of cgroups once, and
 * these of each view.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, VIEW_ROWS_SIZE); /* set by user space, with view_rows_size */
} view_rows SEC(".maps");

/* Where the rows of each cgroup end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set by user space */
	__type(key, __u32);
	__type(value, __u64); /* elements of an array are no closer */
} view_ends SEC(".maps");

/* How far the view came. User space zeroes it before a walk. */
struct view_shown {
	__u32 result;  /* enum view_walk_result */
	__u32 cgroups; /* elements of view_ends in use */
	__u32 rows;    /* bytes of view_rows in use */
} view_shown;

const volatile __u32 view_rows_size = VIEW_ROWS_SIZE;

static __u32 view_walk_from; /* where the rows of this cgroup begin */

/*
 * The place of the next rows in a walk, or NULL if it cannot go on. A show that fills it says so with
 * view_walk_added, and has taken no copy of its rows.
 */
static __always_inline void *view_walk_room(__u32 size, __u32 align)
{
	__u32 at = view_shown.rows, zero = 0;
	char *rows = bpf_map_lookup_elem(&view_rows, &zero);

	if (!rows || view_rows_size < size || at > view_rows_size - size) {
		view_shown.result = VIEW_WALK_FULL;
		return NULL;
	}
	if (at - view_walk_from > VIEW_WALK_ROWS) {
		view_shown.result = VIEW_WALK_FAILED;
		return NULL;
	}
	return rows + (at & -align); /* all rows have one size, so it is aligned */
}

static __always_inline void view_walk_added(__u32 size)
{
	view_shown.rows += size;
}

/* Writes one row, to memory in a walk. */
static __always_inline long view_walk_write(struct seq_file *seq, const void *row, __u32 size, __u32 align)
{
	void *to;

	if (seq)
		return bpf_seq_write(seq, row, size);
	to = view_walk_room(size, align);
	if (!to)
		return -1;
	if (size > 512)
		bpf_probe_read_kernel(to, size, row);
	else if (align == 8) /* in words, because the compiler takes bytes otherwise */
		__builtin_memcpy(__builtin_assume_aligned(to, 8), __builtin_assume_aligned(row, 8), size);
	else
		__builtin_memcpy(to, row, size);
	view_walk_added(size);
	return 0;
}

static __always_inline void view_walk_fail(struct seq_file *seq)
{
	if (seq)
		view_fail(seq);
	else
		view_shown.result = VIEW_WALK_FAILED;
}

static __always_inline bool view_walk_full(struct seq_file *seq)
{
	return seq ? view_full(seq) : view_shown.result != VIEW_WALK_MORE;
}

/* Ends the rows of a cgroup; not 0 if the walk cannot go on. */
static __always_inline int view_walk_shown(void)
{
	__u32 nr = view_shown.cgroups;
	__u64 *end;

	if (view_shown.result != VIEW_WALK_MORE)
		return 1;
	end = bpf_map_lookup_elem(&view_ends, &nr);
	if (!end) {
		view_shown.result = VIEW_WALK_FULL;
		return 1;
	}
	*end = view_shown.rows;
	view_shown.cgroups = nr + 1;
	return 0;
}

/*
 * VIEW_LAST(element) gives a walk an element for each cgroup, in its order. It is as the last pass left it, so it
 * may be that of another cgroup. view_last_of(view_shown.cgroups) is that of the present one.
 */
#define VIEW_LAST(element)                                                                                  \
	struct {                                                                                            \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                           \
		__uint(max_entries, 1); /* set by user space */                                             \
		__type(key, __u32);                                                                         \
		__type(value, element);                                                                     \
	} view_last SEC(".maps");                                                                           \
                                                                                                            \
	static __always_inline element *view_last_of(__u32 nr)                                              \
	{                                                                                                   \
		return bpf_map_lookup_elem(&view_last, &nr);                                                \
	}

const volatile __u32 view_tree_page_size = 4096; /* set by user space */

static __always_inline __u64 view_walk_page_size(struct seq_file *seq)
{
	return seq ? view_page_size(seq) : view_tree_page_size;
}

#undef VIEW_WRITE
#define VIEW_WRITE(seq, row, size) view_walk_write(seq, row, size, __alignof__(*(row)))
#define view_fail view_walk_fail
#define view_full view_walk_full
#define view_page_size view_walk_page_size

#define VIEW_TREE(name, show) VIEW_BATCHES(name, show) VIEW_WALK(name, show)

#define VIEW_WALK(name, show)                                                                               \
	__noinline int name##_walk_show(__u64 address)                                                      \
	{                                                                                                   \
		view_walk_from = view_shown.rows;                                                           \
		show(NULL, view_walk_cast(struct cgroup, address));                                         \
		return view_walk_shown();                                                                   \
	}                                                                                                   \
                                                                                                            \
	__noinline int name##_walk_one(__u64 address)                                                       \
	{                                                                                                   \
		return view_walk_enter(address) || name##_walk_show(address);                               \
	}                                                                                                   \
                                                                                                            \
	SEC("iter/task")                                                                                    \
	int name##___walk(struct bpf_iter__task *ctx)                                                       \
	{                                                                                                   \
		return ctx->task ? view_walk_piece(name##_walk_one) : 0;                                    \
	}

#endif
