/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Include this in a view. A view is a file NAME.bpf.c with an iterator program called NAME:
 *
 *	#include "bpfview.h"
 *
 *	static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
 *	{
 *		VIEW_PRINTF(seq, "LEVEL\n%d\n", cgrp->level);
 *		return 0;
 *	}
 *
 *	SEC("iter/cgroup") VIEW_HELP("how deep the cgroup is")
 *	int level(struct bpf_iter__cgroup *ctx)
 *	{
 *		return view_in_epilogue(ctx, show);
 *	}
 *
 * Its output about one cgroup is at most 32 KiB; more fails the read with E2BIG. A program NAME___task of
 * section iter/task beside it is the same view made once for each process of the cgroup. It has no such
 * bound, and stands in if NAME cannot load or its output does not fit.
 */
#ifndef BPFVIEW_H
#define BPFVIEW_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char view_license[] SEC("license") = "Dual BSD/GPL";

/*
 * Functions of the kernel that not every kernel has. Ask with bpf_ksym_exists; the verifier leaves out code
 * behind a no. A program that calls a missing one without asking does not load.
 */
extern struct cgroup *bpf_cgroup_from_id(__u64 id) __ksym __weak;		/* v6.4 */
extern void bpf_cgroup_release(struct cgroup *cgrp) __ksym __weak;		/* v6.2 */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;	/* v6.2 */
extern void cgroup_rstat_flush(struct cgroup *cgrp) __ksym __weak;		/* v6.1 to v6.15 */
extern void css_rstat_flush(struct cgroup_subsys_state *css) __ksym __weak;	/* v6.16 */
extern int bpf_iter_css_task_new(struct bpf_iter_css_task *it, struct cgroup_subsys_state *css,
				 unsigned int flags) __ksym __weak;		/* v6.7 */
extern struct task_struct *bpf_iter_css_task_next(struct bpf_iter_css_task *it) __ksym __weak;
extern void bpf_iter_css_task_destroy(struct bpf_iter_css_task *it) __ksym __weak;

#ifndef bpf_ksym_exists /* libbpf before v1.2 */
#define bpf_ksym_exists(sym) (!!(sym))
#endif

/* Makes the read fail with E2BIG. Output that lacks something is worse than none. */
static __noinline void view_fail(struct seq_file *seq)
{
	/*
	 * Wider than the buffer on every page size. A program has no other way to fail a cgroup iterator's
	 * read.
	 */
	BPF_SEQ_PRINTF(seq, "%1000000d", 0);
}

/*
 * Prints text. The read fails if bpf_seq_printf refuses, for example an unknown format (%zu, %.10s), more
 * than 12 values, or strings without room. All strings of one call share 512 bytes, and a string that is cut
 * short is no error. So print long ones in calls of their own.
 */
#define VIEW_PRINTF(seq, format, args...)                                                                    \
	({                                                                                                   \
		struct seq_file *view_seq = (seq);                                                           \
                                                                                                             \
		if (BPF_SEQ_PRINTF(view_seq, format, ##args) < 0)                                            \
			view_fail(view_seq);                                                                 \
	})

/* Reports whether the output no longer fits. The read will fail, so a loop may stop. */
static __always_inline bool view_full(struct seq_file *seq)
{
	return seq->count == seq->size;
}

/* The kernel's page size. A seq_file's buffer has eight pages (bpf_seq_read). */
static __always_inline __u64 view_page_size(struct seq_file *seq)
{
	return seq->size >> 3;
}

/* The cgroup of a read, from the walk to the epilogue of the same read(2). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024); /* reads between walk and epilogue at one time; one more fails */
	__type(key, __u64);	   /* session */
	__type(value, __u64);	   /* cgroup id */
} view_sessions SEC(".maps");

/*
 * Runs show for the requested cgroup in the epilogue of the walk. The walk runs under cgroup_mutex, where
 * slow work stops mkdir, rmdir and migration on the whole machine. The epilogue runs without it.
 *
 * The walk prints nothing, so the epilogue's output finds an empty buffer and the kernel never calls the
 * epilogue again. So the session may be forgotten before anything is printed.
 *
 * On kernels without bpf_cgroup_from_id, and on cgroup v1, with ids unknown to it, show runs in the walk.
 */
static __always_inline int view_in_epilogue(struct bpf_iter__cgroup *ctx,
					    int (*show)(struct seq_file *seq, struct cgroup *cgrp))
{
	struct seq_file *seq = ctx->meta->seq;
	struct cgroup *cgrp = ctx->cgroup;
	__u64 session = ctx->meta->session_id, id, *found;

	if (cgrp) {
		if (!bpf_ksym_exists(bpf_cgroup_from_id) || cgrp->root->hierarchy_id)
			return show(seq, cgrp), 0;
		id = cgrp->kn->id;
		if (bpf_map_update_elem(&view_sessions, &session, &id, BPF_ANY))
			view_fail(seq);
		return 0;
	}
	if (!bpf_ksym_exists(bpf_cgroup_from_id))
		return 0;
	found = bpf_map_lookup_elem(&view_sessions, &session);
	if (!found) /* the cgroup died before the walk, or show ran in it */
		return 0;
	id = *found;
	bpf_map_delete_elem(&view_sessions, &session);
	cgrp = bpf_cgroup_from_id(id);
	if (!cgrp) /* died since */
		return 0;
	show(seq, cgrp);
	bpf_cgroup_release(cgrp);
	return 0;
}

/*
 * Tells a text view's task program, once in a walk, to print its header. That is for the first task, or after
 * a walk without tasks. User space drops all but the first header of a cgroup's many walks.
 */
static __always_inline bool view_at_header(struct bpf_iter__task *ctx)
{
	/* After a walk of one task seq_num is 0 too, but the task's output is still in the buffer. */
	return ctx->meta->seq_num == 0 && (ctx->task || ctx->meta->seq->count == 0);
}

/*
 * VIEW_RECORD(struct NAME_record) makes a view a record view. It defines view_emit(seq, record), which writes
 * one record and returns 0, or a negative number if it does not fit. The tag tells user space the type, from
 * which it makes text, JSON, Prometheus metrics and a schema. Members are integers, bool, enums, char, arrays
 * of char, and the types of the tags below. Set padding to zero.
 *
 * Gauges, counters and histograms become metrics; keys become labels of all of them, and all other members
 * labels of one more. An enum's values are shown in lower case, without the prefix that they share up to an
 * underscore. No member may be called cgroup, cgroup_id, record or le, because those names stand beside it.
 */
#define VIEW_RECORD(type)                                                                                    \
	static __noinline VIEW_TAG("bpfview:record") int view_emit(struct seq_file *seq, const type *record) \
	{                                                                                                    \
		return VIEW_WRITE(seq, record, sizeof(*record));                                             \
	}

#define VIEW_WRITE bpf_seq_write /* tree.h has another */

/* Properties of a member, after its name, for example __u64 rss_bytes VIEW_UNIT("bytes") VIEW_GAUGE; */
#define VIEW_TAG(tag) __attribute__((btf_decl_tag(tag)))
/* It identifies the record. Records are sorted by their keys in order. */
#define VIEW_KEY VIEW_TAG("key")
/* All bits set means not available. */
#define VIEW_OPTIONAL VIEW_TAG("optional")
/* It goes up and down. */
#define VIEW_GAUGE VIEW_TAG("kind:gauge")
/* It only goes up. */
#define VIEW_COUNTER VIEW_TAG("kind:counter")
/* __u64[2 to 64]. Slot 0 counts values below 2, slot i from 2^i to 2^(i+1)-1, the last one all above as well. */
#define VIEW_HISTOGRAM VIEW_TAG("kind:histogram")
/* __u64, the sum of the values in that histogram, in its unit. */
#define VIEW_SUM(member) VIEW_TAG("sum:" #member)
/* Records of a cgroup with the same keys are one. It is the first, with the total of this member. */
#define VIEW_TOTAL VIEW_TAG("total")
/* __u8[16], an IPv6 address. An IPv4 one is ::ffff:a.b.c.d. */
#define VIEW_ADDRESS VIEW_TAG("kind:address")
/* __u64, the id of a cgroup. */
#define VIEW_CGROUP VIEW_TAG("kind:cgroup")
/*
 * One of ns, us, bytes, pages, ppm. The member's name ends in _nsec, _usec, _bytes, _pages, _ppm. Metrics are in
 * seconds, bytes, ratios.
 */
#define VIEW_UNIT(unit) VIEW_TAG("unit:" unit)
/* One line of documentation, of a member or, on a program, of the view. */
#define VIEW_HELP(line) VIEW_TAG("help:" line)

/*
 * Totals of each cgroup, in .bpfview/textfile, of a view with other keys than enums, bools and single chars.
 * VIEW_BY is for an enum, bool or char that tells totals apart. VIEW_ADD is for a gauge, and totals have its sum
 * beside the number of records. VIEW_AVERAGE is for an average over time of a counter that is here, too. It is
 * left out there.
 */
#define VIEW_BY VIEW_TAG("by")
#define VIEW_ADD VIEW_TAG("add")
#define VIEW_AVERAGE VIEW_TAG("average")

/* Properties of a view, between its section and its program. */
/* Version of its record; the default is 1. A changed record needs another. */
#define VIEW_VERSION(n) VIEW_TAG("version:" #n)
/* The walk: self (the default), descendants_pre, descendants_post, ancestors_up. */
#define VIEW_ORDER(order) VIEW_TAG("order:" order)
/*
 * Controllers, with spaces between. A cgroup without them has no such view. "cgroup2" is for views that show
 * nothing on cgroup v1.
 */
#define VIEW_REQUIRES(controllers) VIEW_TAG("requires:" controllers)
#define VIEW_ROWS VIEW_TAG("rows") /* see request.h */
#define VIEW_HEADER(lines) VIEW_TAG("header:" #lines) /* of a text, at its beginning, once for all processes */
#define VIEW_FOOTER(lines) VIEW_TAG("footer:" #lines)
/*
 * Property of a map, after SEC(".maps"). The map is pinned in the registry. All programs that declare it alike
 * use the same one, also those of other views, of the next server and of other mounts. So programs on several
 * CPUs may write it at once. by tells what an entry belongs to:
 *
 * "cgroup"	a hash table by cgroup id (__u64). An entry is removed some minutes after its cgroup.
 * "task"	a map of type BPF_MAP_TYPE_TASK_STORAGE. The kernel removes an entry with its task.
 */
#define VIEW_KEPT(by) VIEW_TAG("kept:" by)
/* Its bytes are in a final format, such as protobuf. */
#define VIEW_ENCODED(format) VIEW_TAG("encoded:" format)

#endif
