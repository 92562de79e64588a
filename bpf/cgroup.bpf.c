/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * The cgroup in one line. Of the path it has only the name, escaped. A reader of a part of the tree must not
 * learn the names above it, and knows the directory of this file.
 *
 * The time when a cgroup was made is not known. kernfs keeps times only for a directory with a changed owner
 * or mode, and then the times of the last change.
 */
#include "bpfview.h"
#include "call.h"
#define NAME_SIZE 256 /* NAME_MAX and a NUL */
#include "escape.h"

#define CGRP_FROZEN 3 /* a bit of flags; the enum has no name to look it up by */

struct controllers {
	struct seq_file *seq;
	struct cgroup *cgrp;
	__u32 enabled; /* by the parent, on cgroup2 */
	__u32 printed; /* characters */
};

static int print_controller(__u32 ssid, struct controllers *c)
{
	struct cgroup *cgrp = c->cgrp;
	struct cgroup_subsys_state *css = NULL;
	struct cgroup_subsys *ss;
	char name[32] = {};
	long len;

	if (ssid * sizeof(css) >= bpf_core_field_size(cgrp->subsys))
		return 1;
	bpf_probe_read_kernel(&css, sizeof(css), &cgrp->subsys[ssid]);
	if (!css || !(c->enabled & 1 << ssid))
		return 0;
	ss = BPF_CORE_READ(css, ss);
	if (!cgrp->root->hierarchy_id &&
	    (BPF_CORE_READ_BITFIELD_PROBED(ss, implicit_on_dfl) || !BPF_CORE_READ(ss, dfl_cftypes)))
		return 0; /* has no files on cgroup2, and so is not in cgroup.controllers */
	if (c->printed) {
		VIEW_PRINTF(c->seq, ",");
		c->printed++;
	}
	len = bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(ss, name));
	VIEW_PRINTF(c->seq, "%s", name);
	if (len > 0)
		c->printed += len - 1;
	return 0;
}

static const char blanks[] = "                        ";
#define WIDTH (sizeof(blanks) - 1)

static __noinline void print_controllers(struct seq_file *seq, struct cgroup *cgrp)
{
	struct controllers c = {.seq = seq, .cgrp = cgrp, .enabled = ~0};

	if (cgrp->level && !cgrp->root->hierarchy_id)
		c.enabled = BPF_CORE_READ(cgrp, self.parent, cgroup, subtree_control);
	bpf_loop(16, print_controller, &c, 0);
	if (!c.printed)
		VIEW_PRINTF(seq, "%-24s ", "-");
	else
		VIEW_PRINTF(seq, "%s ", &blanks[c.printed < WIDTH ? c.printed : WIDTH]);
}

static __noinline void print_name(struct seq_file *seq, struct cgroup *cgrp)
{
	struct name name = {.seq = seq};

	if (!cgrp->level) {
		VIEW_PRINTF(seq, "/\n");
		return;
	}
	bpf_probe_read_kernel_str(name.bytes, NAME_SIZE, BPF_CORE_READ(cgrp, kn, name));
	name_print(&name);
	VIEW_PRINTF(seq, "\n");
}

static __always_inline bool is_populated(struct cgroup *cgrp)
{
	int csets = bpf_core_field_exists(cgrp->nr_populated_csets) ? cgrp->nr_populated_csets :
								      cgrp->self.nr_populated_csets;

	return csets + cgrp->nr_populated_domain_children + cgrp->nr_populated_threaded_children;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	VIEW_PRINTF(seq, "        ID LEVEL POPULATED FROZEN DESCENDANTS DYING CONTROLLERS              NAME\n");
	VIEW_PRINTF(seq, "%10llu %5d %9d %6d %11d %5d ", cgrp->kn->id, cgrp->level, is_populated(cgrp),
		       cgrp->flags >> CGRP_FROZEN & 1, cgrp->nr_descendants, cgrp->nr_dying_descendants);
	print_controllers(seq, cgrp);
	print_name(seq, cgrp);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("id, level, descendants, populated, frozen, controllers, name")
int cgroup(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(cgroup, show)
