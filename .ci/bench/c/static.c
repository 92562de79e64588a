// SPDX-License-Identifier: Apache-2.0
/*
 * static DIR SIZE FILES [single] mounts a directory of FILES files f0, f1 ... of SIZE bytes with libfuse's
 * low-level interface and direct I/O. single means one thread; otherwise libfuse starts as many as it needs.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t size;
static fuse_ino_t files;
static char *text;

static void fill(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_mode = ino == 1 ? S_IFDIR | 0755 : S_IFREG | 0444;
	st->st_nlink = ino == 1 ? 2 : 1;
	st->st_size = ino == 1 ? 0 : size;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .entry_timeout = 1, .attr_timeout = 1 };
	unsigned long i;
	char end;

	if (sscanf(name, "f%lu%c", &i, &end) != 1 || i >= files) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = 2 + i;
	fill(e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	fill(ino, &st);
	fuse_reply_attr(req, &st, 1);
}

static void open_(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void read_(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off, struct fuse_file_info *fi)
{
	if ((size_t)off >= size)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + off, size - off < n ? size - off : n);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = lookup, .getattr = getattr, .open = open_, .read = read_,
};

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], "-oallow_other,default_permissions,ro", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, fuse_argv);

	if (argc < 4)
		return 2;
	size = strtoul(argv[2], NULL, 10);
	files = strtoul(argv[3], NULL, 10);
	text = malloc(size);
	memset(text, 'x', size);

	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);

	if (!se || fuse_session_mount(se, argv[1]))
		return 1;
	fuse_set_signal_handlers(se);
	if (argc > 4)
		fuse_session_loop(se);
	else
		fuse_session_loop_mt(se, config);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_loop_cfg_destroy(config);
	return 0;
}
