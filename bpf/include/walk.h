/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A walk over a cgroup of cgroup2 and all below it, in pre-order, in pieces that user space asks for one
 * after the other. Each piece is one RCU section, and cgroup_mutex is not taken. The walk follows the
 * kernel's lists itself, because the kernel's own iterator (bpf_iter_css) cannot begin in the middle of a
 * tree.
 *
 * The list goes to memory that user space maps, with an element of view_cgroups for each cgroup, its name in
 * view_names. Views add their rows (see tree.h). Serial numbers are never used again. So an element that still
 * holds a cgroup's serial number from the last walk also holds its id, level and name, and they are not read
 * again.
 *
 * The loads are typed (bpf_rdonly_cast) because a call of bpf_probe_read_kernel costs 50 times as much. They
 * may meet a cgroup that has died, whose memory RCU keeps; a bad pointer reads as 0. One reader at a time may
 * use a loaded program.
 */
#ifndef BPFVIEW_WALK_H
#define BPFVIEW_WALK_H

#include "bpfview.h"
#include "percpu.h"

#define VIEW_WALK_DEPTH 32	   /* levels below the topmost cgroup at which a piece may end */
#define VIEW_WALK_NAME_SIZE 256	   /* NAME_MAX and a NUL */
#define VIEW_WALK_STEPS (1 << 23) /* more than any tree has; the verifier wants a bound */
#define VIEW_CSS_ONLINE 2	   /* a bit of flags; the enum has no name to look it up by */

enum view_walk_result {
	VIEW_WALK_MORE,   /* the next piece goes on */
	VIEW_WALK_DONE,
	VIEW_WALK_GONE,   /* there is no such topmost cgroup */
	VIEW_WALK_FULL,   /* more memory is needed */
	VIEW_WALK_DEEP,   /* the piece ended below VIEW_WALK_DEPTH levels */
	VIEW_WALK_FAILED, /* a view called view_fail */
};

struct view_step {
	__u64 id, serial;
};

/* The request and the answer of iter/runs/walk.go. For the first piece all but top and pass is zero. */
struct view_walk {
	__u64 top;     /* id */
	__u32 result;  /* enum view_walk_result */
	__u32 cgroups; /* elements of view_cgroups in use */
	__u32 names;   /* bytes of view_names in use */
	__u32 wanted;  /* cgroups that the tree has, about */
	__u32 depth;   /* steps of the path in use */
	__u32 pass;    /* its number, one more than that of the pass before */
	struct view_step path[VIEW_WALK_DEPTH]; /* from the topmost cgroup to the last that was shown */
} view_walk;

__u64 view_changes; /* elements that were written so far; while there is no new one, a list stays the same */

struct view_cgroup {
	__u64 serial;
	__u64 id; /* 0 in an element that was never used */
	__u32 level;
	__u32 name;	 /* where it begins */
	__u32 name_size; /* with its NUL */
	__u32 pass;	 /* the last that showed the cgroup as this element */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set by user space */
	__type(key, __u32);
	__type(value, struct view_cgroup);
} view_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, VIEW_WALK_NAME_SIZE); /* set by user space, with view_names_size */
} view_names SEC(".maps");

/*
 * The addresses of the cgroups in the last pass, in its order. Each cgroup is some lines of memory that no cache
 * may have, and a list can only be followed one miss after the other. The lines of 16 known addresses are on
 * their way together. Nothing is done with what is loaded. So an address may be anything by now, and a bad one
 * reads as 0.
 */
#define VIEW_AHEAD 16

struct view_ahead {
	__u64 address[VIEW_AHEAD];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set by user space */
	__type(key, __u32);
	__type(value, struct view_ahead);
} view_ahead SEC(".maps");

/*
 * The members of struct cgroup that shows read, as bits. A view defines VIEW_READS above its include of
 * tree.h, and without it all are loaded ahead. User space sets the bits of all views of a union.
 */
#define VIEW_READS_THREADS 1	 /* level and nr_populated_csets */
#define VIEW_READS_CONTROLLERS 2 /* subsys */
#define VIEW_READS_TIMES 4	 /* bstat */

#ifndef VIEW_READS
#define VIEW_READS (VIEW_READS_THREADS | VIEW_READS_CONTROLLERS | VIEW_READS_TIMES)
#endif

const volatile __u32 view_reads = VIEW_READS;
const volatile __u32 view_names_size = VIEW_WALK_NAME_SIZE;
const volatile __u64 view_piece_nsec = 500000; /* a piece ends after this time, or a little later */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup_subsys_state___serial {
	__u64 serial_nr; /* a younger sibling has a greater one */
};

#pragma clang attribute pop

#ifndef __VMLINUX_H__
/* An open-coded iterator belongs to the program, not to the kernel, so there is no relocation. */
struct bpf_iter_num {
	__u64 __opaque[1];
} __attribute__((aligned(8)));
#endif

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak; /* v6.4 */
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

#define view_walk_cast(type, address)                                                                        \
	((type *)bpf_rdonly_cast((const void *)(address), bpf_core_type_id_kernel(type)))
#define view_walk_css(address) view_walk_cast(struct cgroup_subsys_state, address)
#define view_walk_serial(css) (((struct cgroup_subsys_state___serial *)(css))->serial_nr)
#define view_walk_of_sibling(link)                                                                           \
	((__u64)(link) - bpf_core_field_offset(struct cgroup_subsys_state, sibling))

/* A stored pointer is a number when it is loaded, because a global function takes no other address. */
static volatile __u64 view_walk_spilled;

static __always_inline __u64 view_walk_number(const void *pointer)
{
	view_walk_spilled = (__u64)pointer;
	return view_walk_spilled;
}

/*
 * The functions below are global, so the verifier looks at each once, and not again for every state of its
 * caller.
 */

/* A living cgroup's address, or 0. RCU keeps it. */
__noinline __u64 view_walk_living(__u64 id)
{
	struct cgroup *cgrp = bpf_cgroup_from_id(id);
	__u64 address = 0;

	if (!cgrp)
		return 0;
	if (cgrp->self.flags & VIEW_CSS_ONLINE)
		address = view_walk_number(cgrp);
	bpf_cgroup_release(cgrp);
	return address;
}

/* The first child that is younger than serial, or 0. */
__noinline __u64 view_walk_first_after(__u64 parent, __u64 serial)
{
	struct list_head *head = &view_walk_css(parent)->children, *next = head->next;
	struct cgroup_subsys_state *child;
	struct bpf_iter_num it;
	__u64 found = 0;

	bpf_iter_num_new(&it, 0, VIEW_WALK_STEPS);
	while (bpf_iter_num_next(&it)) {
		if (next == head)
			break;
		child = view_walk_css(view_walk_of_sibling(next));
		if (view_walk_serial(child) > serial) {
			found = view_walk_number(child);
			break;
		}
		next = child->sibling.next;
	}
	bpf_iter_num_destroy(&it);
	return found;
}

/* The next cgroup in pre-order when this one and all below it are done, or 0. */
__noinline __u64 view_walk_after(__u64 address, __u64 top)
{
	struct cgroup_subsys_state *pos = view_walk_css(address), *parent;
	struct list_head *next;
	struct bpf_iter_num it;
	__u64 found = 0;

	bpf_iter_num_new(&it, 0, VIEW_WALK_STEPS);
	while (bpf_iter_num_next(&it)) {
		if (view_walk_number(pos) == top)
			break;
		next = pos->sibling.next;
		parent = pos->parent;
		if (next != &parent->children) {
			found = view_walk_of_sibling(view_walk_number(next));
			break;
		}
		pos = view_walk_css(parent);
	}
	bpf_iter_num_destroy(&it);
	return found;
}

/*
 * The beginning of the next piece, or 0. It is below the deepest living cgroup of the path, after the path's
 * next step.
 */
__noinline __u64 view_walk_begin(__u64 top)
{
	__u32 depth = view_walk.depth;
	__u64 address, next, serial = 0;

	if (!depth)
		return top;
	for (int i = VIEW_WALK_DEPTH - 1; i >= 0; i--) {
		if (i >= depth)
			continue;
		address = i ? view_walk_living(view_walk.path[i].id) : top;
		if (!address)
			continue;
		if (i + 1 < depth && i + 1 < VIEW_WALK_DEPTH)
			serial = view_walk.path[i + 1].serial;
		next = view_walk_first_after(address, serial);
		return next ? next : view_walk_after(address, top);
	}
	return 0;
}

/* Keeps the path to the last cgroup that was shown. */
__noinline int view_walk_remember(__u64 last, __u64 top)
{
	__u32 level = view_walk_css(last)->cgroup->level - view_walk_css(top)->cgroup->level, step;
	struct cgroup_subsys_state *css = view_walk_css(last);

	if (level >= VIEW_WALK_DEPTH) {
		view_walk.result = VIEW_WALK_DEEP;
		return 0;
	}
	view_walk.depth = level + 1;
	for (int i = 0; i < VIEW_WALK_DEPTH; i++) {
		step = level - i;
		if (step >= VIEW_WALK_DEPTH)
			break;
		asm volatile("" : "+r"(step));
		step &= VIEW_WALK_DEPTH - 1;
		view_walk.path[step].id = css->cgroup->kn->id;
		view_walk.path[step].serial = view_walk_serial(css);
		css = view_walk_css(css->parent);
	}
	return 0;
}

/*
 * An array in a struct whose type the verifier knows. libbpf refuses a load of an array's element if the kernel's
 * array has another length, so the compiler must not put the offset into the load.
 */
#define view_walk_array(object, type, member)                                                                \
	({                                                                                                   \
		__u64 at = bpf_core_field_offset(type, member);                                              \
		asm volatile("" : "+r"(at));                                                                 \
		(typeof(&((type *)0)->member[0]))((void *)(object) + at);                                    \
	})

/* Loads the line of a member and does nothing with it, or the compiler would leave the load out. */
#define view_walk_touch(member) (view_walk_spilled = (__u64)(member))

/* Loads the lines of an element of view_ahead that the walk reads, and those that views read. */
__noinline int view_walk_fetch(__u32 nr)
{
	struct view_ahead *ahead = bpf_map_lookup_elem(&view_ahead, &nr);
	struct cgroup *cgrp;

	if (!ahead)
		return 0;
	for (int i = 0; i < VIEW_AHEAD; i++) {
		if (!ahead->address[i])
			break;
		cgrp = view_walk_cast(struct cgroup, ahead->address[i]);
		view_walk_touch(cgrp->self.sibling.next);
		view_walk_touch(view_walk_serial(&cgrp->self));
		if (view_reads & VIEW_READS_THREADS)
			view_walk_touch(cgrp->level);
		if (view_reads & VIEW_READS_CONTROLLERS)
			view_walk_touch(view_walk_array(cgrp, struct cgroup, subsys)[0]);
		if (view_reads & VIEW_READS_TIMES)
			view_walk_touch(cgrp->bstat.cputime.utime);
	}
	return 0;
}

/* Adds a cgroup to the list; not 0 if there is no room. */
__noinline int view_walk_enter(__u64 address)
{
	struct cgroup *cgrp = view_walk_cast(struct cgroup, address);
	__u64 serial = view_walk_serial(&cgrp->self);
	__u32 nr = view_walk.cgroups, at = view_walk.names, element = nr / VIEW_AHEAD, zero = 0;
	struct view_ahead *ahead;
	struct view_cgroup *e;
	char *names;
	long size;

	e = bpf_map_lookup_elem(&view_cgroups, &nr);
	ahead = bpf_map_lookup_elem(&view_ahead, &element);
	if (!e || !ahead) {
		view_walk.result = VIEW_WALK_FULL;
		return 1;
	}
	ahead->address[nr % VIEW_AHEAD] = address;
	if (nr % VIEW_AHEAD == 0)
		view_walk_fetch(element + 1);
	/*
	 * The element is right if the pass before has left it: that pass wrote no name over this one's, and this
	 * pass has written names before it only. An older one's name may be overwritten. The root's number is 0.
	 */
	if (!e->id || e->serial != serial || e->name != at || e->pass + 1 != view_walk.pass) {
		names = bpf_map_lookup_elem(&view_names, &zero);
		if (!names || at > view_names_size - VIEW_WALK_NAME_SIZE) {
			view_walk.result = VIEW_WALK_FULL;
			return 1;
		}
		size = bpf_probe_read_kernel_str(names + at, VIEW_WALK_NAME_SIZE, cgrp->kn->name);
		e->id = cgrp->kn->id;
		e->level = cgrp->level;
		e->name = at;
		e->name_size = size > 0 ? size : VIEW_WALK_NAME_SIZE;
		e->serial = serial;
		view_changes++;
	}
	e->pass = view_walk.pass;
	view_walk.names = at + e->name_size;
	view_walk.cgroups = nr + 1;
	return 0;
}

/* One piece. one shows the cgroup at an address. A result other than 0 means that the walk cannot go on. */
static __always_inline int view_walk_piece(int (*one)(__u64 address))
{
	struct cgroup_subsys_state *pos, *parent, *end;
	__u64 top, start, stop, last = 0;
	struct list_head *next;
	struct bpf_iter_num it;
	bool climb = false;
	int *i;

	stop = bpf_ktime_get_boot_ns() + view_piece_nsec;
	top = view_walk_living(view_walk.top);
	if (!top) {
		view_walk.result = VIEW_WALK_GONE;
		return 0;
	}
	view_walk.wanted = view_walk_cast(struct cgroup, top)->nr_descendants + 1;
	view_walk.result = VIEW_WALK_MORE;
	start = view_walk_begin(top);
	if (!start) {
		view_walk.result = VIEW_WALK_DONE;
		return 0;
	}
	pos = view_walk_css(start);
	end = view_walk_css(top);
	parent = pos->parent; /* kept, because it is in a line that is not needed otherwise */
	view_walk_fetch(view_walk.cgroups / VIEW_AHEAD);
	bpf_iter_num_new(&it, 0, VIEW_WALK_STEPS);
	while ((i = bpf_iter_num_next(&it))) {
		if (!climb) {
			if (pos->flags & VIEW_CSS_ONLINE) {
				if (!(*i & 63) && last && bpf_ktime_get_boot_ns() > stop)
					goto out;
				start = view_walk_number(pos);
				if (one(start))
					goto out;
				last = start;
			}
			next = pos->children.next;
			if (next != &pos->children) {
				parent = pos;
				pos = view_walk_css(view_walk_of_sibling(next));
				continue;
			}
		}
		if (pos == end)
			break;
		next = pos->sibling.next;
		climb = next == &parent->children;
		pos = view_walk_css(climb ? (__u64)parent : view_walk_of_sibling(next));
		if (climb)
			parent = pos->parent;
	}
	view_walk.result = VIEW_WALK_DONE;
out:
	bpf_iter_num_destroy(&it);
	if (view_walk.result == VIEW_WALK_MORE)
		view_walk_remember(last, top);
	return 0;
}

#endif
