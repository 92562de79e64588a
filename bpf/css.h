/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A controller's state of a cgroup. */
#ifndef BPFVIEW_CSS_H
#define BPFVIEW_CSS_H

#include "bpfview.h"

/* Returns the controller's state of the cgroup, or NULL. The number is the running kernel's. */
#define cgroup_css(cgrp, ssid)                                                                               \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, ssid) ?                                           \
		 css_at((cgrp)->subsys, bpf_core_enum_value(enum cgroup_subsys_id, ssid)) :                  \
		 NULL)

/* The same of a cgroup whose type the verifier knows, without a call. */
#define cgroup_css_loaded(cgrp, ssid)                                                                        \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, ssid) ?                                           \
		 (cgrp)->subsys[bpf_core_enum_value(enum cgroup_subsys_id, ssid)] :                          \
		 NULL)

static __always_inline struct cgroup_subsys_state *css_at(struct cgroup_subsys_state **subsys, __u32 ssid)
{
	struct cgroup_subsys_state *css = NULL;

	bpf_probe_read_kernel(&css, sizeof(css), &subsys[ssid]);
	return css;
}

/* Whether the cgroup itself has tasks, dead ones included. */
static __always_inline bool cgroup_has_tasks(struct cgroup *cgrp)
{
	if (bpf_core_field_exists(cgrp->nr_populated_csets))
		return cgrp->nr_populated_csets;
	return cgrp->self.nr_populated_csets;
}

/* Whether the cgroup or one below it has tasks. */
static __always_inline bool cgroup_is_populated(struct cgroup *cgrp)
{
	return cgroup_has_tasks(cgrp) || cgrp->nr_populated_domain_children || cgrp->nr_populated_threaded_children;
}

#endif
