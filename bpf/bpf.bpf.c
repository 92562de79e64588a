/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * One record for each BPF program that runs for the cgroup. It is attached to the cgroup, or to one above and
 * in effect here too.
 */
#include "bpfview.h"
#include "attach.h"
#include "batches.h"
#include "call.h"

enum mode {
	MODE_SINGLE,   /* a program attached below is an error */
	MODE_OVERRIDE, /* BPF_F_ALLOW_OVERRIDE, runs instead of programs above */
	MODE_MULTI,    /* BPF_F_ALLOW_MULTI, runs beside programs above */
};

struct bpf_record {
	enum attach_type attach_type VIEW_KEY VIEW_HELP("what it is attached to, as bpftool names it");
	char hook[40] VIEW_KEY VIEW_HELP("lsm_cgroup: the function of the kernel it is attached to");
	__u32 position VIEW_KEY VIEW_HELP("its place in the order in which they run, from 0");
	__u32 id VIEW_HELP("id of the program");
	__u32 link VIEW_OPTIONAL VIEW_HELP("id of the link that attaches it, if one does");
	enum mode mode VIEW_OPTIONAL VIEW_HELP("how it was attached: single, override or multi");
	__u32 levels_up VIEW_OPTIONAL
		VIEW_HELP("where it is attached: 0 for this cgroup, 1 for its parent, and so on");
	char name[16] VIEW_HELP("name of the program");
};

VIEW_RECORD(struct bpf_record)

#define MAX_SLOTS 64
/* Programs and slots of a run, or programs and ancestors of a search, because bpf_loop wants a bound. */
#define MOST_STEPS 8192

/* Arrays of the kernel with an index that is not known at compile time. */
static __always_inline void *element(const void *array, __u32 i, __u32 size)
{
	return (char *)array + i * size;
}

#define BPF_OF(cgrp) (&((struct cgroup___bpf *)(cgrp))->bpf)

static __always_inline struct bpf_prog_list *first_of(struct cgroup *cgrp, __u32 slot)
{
	struct hlist_head *head = element(BPF_OF(cgrp)->progs, slot, sizeof(*head));

	return (struct bpf_prog_list *)BPF_CORE_READ(head, first);
}

static __always_inline struct bpf_prog *program_of(struct bpf_prog_list *pl)
{
	struct bpf_prog *prog = BPF_CORE_READ(pl, prog);

	return prog ? prog : BPF_CORE_READ(pl, link, link.prog);
}

static __always_inline __u8 mode_at(struct cgroup *cgrp, __u32 slot)
{
	__u8 mode = 0;

	bpf_probe_read_kernel(&mode, sizeof(mode), element(BPF_OF(cgrp)->flags, slot, sizeof(mode)));
	return mode;
}

#define BPF_F_ALLOW_MULTI 2
#define BPF_F_PREORDER (1 << 6)

static __always_inline bool is_early(struct bpf_prog_list *pl)
{
	return bpf_core_field_exists(pl->flags) && BPF_CORE_READ(pl, flags) & BPF_F_PREORDER;
}

/*
 * Goes through the programs attached to a slot of a cgroup and of those above. The order is the one in which
 * the kernel runs them (compute_effective_progs in kernel/bpf/cgroup.c). Programs with BPF_F_PREORDER come
 * first, from the root down. The rest comes from the cgroup up. A cgroup counts if it has BPF_F_ALLOW_MULTI,
 * or if it is the nearest with any program.
 */
struct search {
	struct cgroup *cgrp; /* asked for */
	struct bpf_prog_list *at; /* found */
	__u32 slot;
	__s32 level; /* of the cgroup that is looked at */
	__s32 nearest; /* level of the nearest cgroup that has any program; -1 before it is known */
	bool early; /* looking for programs with BPF_F_PREORDER */
	bool end;
};

static __always_inline struct cgroup *search_cgroup(const struct search *s)
{
	struct cgroup *cgrp = s->cgrp, *ancestor = NULL;
	__u32 level = s->level;

	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), element(cgrp->ancestors, level, sizeof(ancestor)));
	return ancestor;
}

static int search_nearest(__u32 i, struct search *s)
{
	s->nearest = s->level;
	if (s->level < 0 || first_of(search_cgroup(s), s->slot))
		return 1;
	s->level--;
	return 0;
}

/* The next cgroup, first down to the one asked for, and then from there up. */
static __always_inline void search_leave(struct search *s)
{
	struct cgroup *cgrp = s->cgrp;

	if (!s->early) {
		s->level--;
		s->end = s->level < 0;
	} else if (s->level >= BPF_CORE_READ(cgrp, level)) {
		s->early = false;
	} else {
		s->level++;
	}
}

/* Goes to the next program, unless it is there already. */
static int search_step(__u32 i, struct search *s)
{
	struct bpf_prog_list *at = s->at;
	struct cgroup *cgrp;

	if (s->end)
		return 1;
	if (at) {
		at = (struct bpf_prog_list *)BPF_CORE_READ(at, node.next);
	} else {
		cgrp = search_cgroup(s);
		if (s->level == s->nearest || mode_at(cgrp, s->slot) & BPF_F_ALLOW_MULTI)
			at = first_of(cgrp, s->slot);
	}
	s->at = at;
	if (!at)
		search_leave(s);
	return at && program_of(at) && is_early(at) == s->early;
}

static __always_inline void search_begin(struct search *s, struct cgroup *cgrp, __u32 slot)
{
	s->cgrp = cgrp;
	s->at = NULL;
	s->slot = slot;
	s->level = BPF_CORE_READ(cgrp, level);
	s->end = false;
	bpf_loop(MOST_STEPS, search_nearest, s, 0);
	s->early = bpf_core_field_exists(struct bpf_prog_list, flags);
	s->level = s->early ? 0 : BPF_CORE_READ(cgrp, level);
}

struct walk {
	struct seq_file *seq;
	struct cgroup *cgrp;
	struct search search;
	__u32 slot, item, position;
	__u8 types[MAX_SLOTS]; /* attach type and one; 0 is none */
};

/* Other programs may be attached meanwhile. Then its place is not known. */
static __always_inline void set_place(struct bpf_record *r, struct walk *w, struct bpf_prog *prog)
{
	struct search *s = &w->search;
	struct bpf_prog_list *pl;
	struct cgroup *top = w->cgrp;
	__u32 link;

	if (!s->cgrp)
		search_begin(s, top, w->slot);
	bpf_loop(MOST_STEPS, search_step, s, 0);
	pl = s->at;
	if (s->end || !pl || program_of(pl) != prog)
		return;
	link = BPF_CORE_READ(pl, link, link.id);
	if (link)
		r->link = link;
	r->mode = mode_at(search_cgroup(s), w->slot);
	r->levels_up = BPF_CORE_READ(top, level) - s->level;
}

static __noinline int show_program(struct walk *w, struct bpf_prog *prog, __u32 attach_type)
{
	struct bpf_prog_aux *aux = BPF_CORE_READ(prog, aux);
	struct bpf_record r;

	if (!aux) /* left by a detached program, when there was no memory for a shorter array */
		return 0;
	__builtin_memset(&r, 0xff, sizeof(r));
	__builtin_memset(r.hook, 0, sizeof(r.hook));
	__builtin_memset(r.name, 0, sizeof(r.name));
	r.attach_type = attach_type;
	if (attach_type == ATTACH_LSM_CGROUP)
		bpf_probe_read_kernel_str(r.hook, sizeof(r.hook), BPF_CORE_READ(aux, attach_func_name));
	r.position = w->position++;
	r.id = BPF_CORE_READ(aux, id);
	set_place(&r, w, prog);
	bpf_probe_read_kernel_str(r.name, sizeof(r.name), aux->name);
	return view_emit(w->seq, &r);
}

static __always_inline struct bpf_prog *effective(struct cgroup *cgrp, __u32 slot, __u32 item)
{
	struct bpf_prog_array *array = NULL;
	struct bpf_prog_array_item *at;

	bpf_probe_read_kernel(&array, sizeof(array), element(BPF_OF(cgrp)->effective, slot, sizeof(array)));
	if (!array)
		return NULL;
	at = element(array->items, item, bpf_core_type_size(struct bpf_prog_array_item));
	return BPF_CORE_READ(at, prog);
}

#define SLOT(name) bpf_core_enum_value(enum cgroup_bpf_attach_type, CGROUP_##name)
#define HAS_SLOT(name) bpf_core_enum_value_exists(enum cgroup_bpf_attach_type, CGROUP_##name)

#define SET_TYPE(name, number)                                                                               \
	if (HAS_SLOT(name) && SLOT(name) < MAX_SLOTS)                                                        \
		types[SLOT(name)] = number + 1;

static __always_inline void set_types(__u8 *types)
{
	ATTACH_TYPES(SET_TYPE)
}

static __always_inline __u32 type_at(const struct walk *w, __u32 slot)
{
	if (HAS_SLOT(LSM_START) && slot >= SLOT(LSM_START) && slot <= SLOT(LSM_END))
		return ATTACH_LSM_CGROUP + 1;
	return w->types[slot];
}

static int walk_step(__u32 i, struct walk *w)
{
	struct bpf_prog *prog;
	__u32 slot = w->slot, type;

	if (slot >= MAX_SLOTS || view_full(w->seq))
		return 1;
	type = type_at(w, slot);
	prog = type ? effective(w->cgrp, slot, w->item++) : NULL;
	if (prog) {
		show_program(w, prog, type - 1);
		return 0;
	}
	w->slot++;
	w->item = w->position = 0;
	w->search.cgrp = NULL; /* the next search is from the start */
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct walk w;

	/*
	 * All zero, unless a helper fails. Before ab5cfac139ab (v6.7) the verifier takes a callback's context
	 * at its first call as true for all calls. It then leaves out code that the first call does not
	 * reach.
	 */
	bpf_probe_read_kernel(&w, sizeof(w), NULL);
	w.seq = seq;
	w.cgrp = cgrp;
	set_types(w.types);
	bpf_loop(MOST_STEPS, walk_step, &w, 0);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("BPF programs that run for the cgroup: its own, and those of cgroups above")
VIEW_REQUIRES("cgroup2")
int bpf(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_CALL(bpf, show)

VIEW_BATCHES(bpf, show)
