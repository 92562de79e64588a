/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Names that anyone may choose, for the last column of a text view. They are printed so that they are no
 * second line, as record views show them. The includer defines NAME_SIZE, the bytes of the longest name with
 * its NUL. It is a power of two, and the BPF stack is 512 bytes in all.
 */
#ifndef BPFVIEW_ESCAPE_H
#define BPFVIEW_ESCAPE_H

#include "bpfview.h"

struct name {
	struct seq_file *seq;
	__u32 plain; /* bytes at its start that need no escape */
	__u32 skip;  /* bytes that are printed already */
	char bytes[NAME_SIZE];
};

static __always_inline bool name_byte_is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '\\';
}

/* As Rune of internal/plain. A global function, which the verifier looks at once. */
__noinline int name_rune_is_plain(__u32 r)
{
	if (r < 0xa1 || r == 0xad || r == 0x1680 || r == 0x3000 || r == 0xfeff)
		return 0;
	if (r >= 0x2000 && r <= 0x206f) /* of these, punctuation that is seen */
		return (r >= 0x2010 && r <= 0x2027) || (r >= 0x2030 && r <= 0x205e);
	return !(r >= 0xd800 && r <= 0xf8ff) && !(r >= 0xfff0 && r <= 0xfffb) && r != 0xfffe && r != 0xffff && r < 0xe0000;
}

/* The number of bytes from i on that are one UTF-8 character which may be shown; 0 if they are none. */
static __always_inline __u32 name_character(const struct name *name, __u32 i)
{
	__u8 c = name->bytes[i % NAME_SIZE];
	__u32 size = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	__u32 least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
	__u32 r = c & (0x7f >> size);

	if (c < 0xc0 || c >= 0xf8)
		return 0;
	for (int k = 1; k < 4; k++) {
		__u8 next = name->bytes[(i + k) % NAME_SIZE]; /* a NUL comes before the end */

		if (k >= size)
			break;
		if ((next & 0xc0) != 0x80)
			return 0;
		r = r << 6 | (next & 0x3f);
	}
	return r >= least && name_rune_is_plain(r) ? size : 0;
}

/* Loops are bpf_loop's, because the verifier looks at a callback once, and at a loop's body once a round. */
static int name_scan_byte(__u32 i, struct name *name)
{
	name->plain = i;
	return !name_byte_is_plain(name->bytes[i % NAME_SIZE]);
}

static int name_print_byte(__u32 i, struct name *name)
{
	struct seq_file *seq = name->seq;
	char *c = &name->bytes[i % NAME_SIZE];

	if (!*c)
		return 1;
	if (!name->skip)
		name->skip = name_byte_is_plain(*c) ? 1 : name_character(name, i);
	if (name->skip) {
		name->skip--;
		bpf_seq_write(seq, c, 1);
	} else if (*c == '\\') {
		VIEW_PRINTF(seq, "\\\\");
	} else if (*c == '\n') {
		VIEW_PRINTF(seq, "\\n");
	} else if (*c == '\t') {
		VIEW_PRINTF(seq, "\\t");
	} else {
		VIEW_PRINTF(seq, "\\x%02x", (__u8)*c);
	}
	return 0;
}

/* Prints name->bytes in the last column, as record views show text there. An empty name is "-". */
static __always_inline void name_print(struct name *name)
{
	bpf_loop(NAME_SIZE, name_scan_byte, name, 0);
	if (!name->bytes[0])
		VIEW_PRINTF(name->seq, "-");
	else if (!name->bytes[name->plain % NAME_SIZE]) /* the usual case, in one call */
		VIEW_PRINTF(name->seq, "%s", name->bytes);
	else
		bpf_loop(NAME_SIZE, name_print_byte, name, 0);
}

#endif
