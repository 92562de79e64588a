/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Common to views of files. */
#ifndef BPFVIEW_FILE_H
#define BPFVIEW_FILE_H

#include "bpfview.h"

/* From linux/magic.h. */
#define ANON_INODE_FS_MAGIC 0x09041934
#define HUGETLBFS_MAGIC 0x958458f6
#define PID_FS_MAGIC 0x50494446 /* since v6.9 pidfds have a file system of their own */
#define TMPFS_MAGIC 0x01021994

/* From i_mode. */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

static __always_inline bool file_is_on(const struct file *file, unsigned long magic)
{
	return file->f_inode->i_sb->s_magic == magic;
}

#endif
