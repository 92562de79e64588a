/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names that anyone may choose, printed by a text view so that they are neither a second line nor a second column.
 * The includer defines NAME_SIZE, the bytes of the longest with its NUL, a power of two: all of the BPF stack is 512.
 */
#ifndef BPFVIEW_ESCAPE_H
#define BPFVIEW_ESCAPE_H

#include "bpfview.h"

struct name {
	struct seq_file *seq;
	__u32 plain; /* bytes at its start that need no escape */
	char bytes[NAME_SIZE];
};

/* Loops are bpf_loop's: the verifier looks at a callback once, at a loop's body once a round. */
static int name_scan_byte(__u32 i, struct name *name)
{
	char c = name->bytes[i % NAME_SIZE];

	name->plain = i;
	return c <= ' ' || c > '~' || c == '\\';
}

static int name_print_byte(__u32 i, struct name *name)
{
	char *c = &name->bytes[i % NAME_SIZE];

	if (!*c)
		return 1;
	if (*c > ' ' && *c <= '~' && *c != '\\')
		bpf_seq_write(name->seq, c, 1);
	else
		BPF_SEQ_PRINTF(name->seq, "\\x%02x", (__u8)*c);
	return 0;
}

/* Prints name->bytes; all but printable ASCII, and space and backslash, as \xNN. */
static __always_inline void name_print(struct name *name)
{
	bpf_loop(NAME_SIZE, name_scan_byte, name, 0);
	if (!name->bytes[name->plain % NAME_SIZE]) /* the usual case, in one call */
		BPF_SEQ_PRINTF(name->seq, "%s", name->bytes);
	else
		bpf_loop(NAME_SIZE, name_print_byte, name, 0);
}

#endif
