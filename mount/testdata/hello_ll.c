// SPDX-License-Identifier: Apache-2.0
// A file system of one file, as libfuse's example/hello_ll.c: the yardstick for the request loop.
// hello_ll DIR [single]
#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <string.h>
#include <stdlib.h>
#include <stdio.h>
#include <errno.h>

static const char text[] = "one line of a trivial file\n";

static void fill(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_mode = ino == 1 ? S_IFDIR | 0755 : S_IFREG | 0444;
	st->st_nlink = ino == 1 ? 2 : 1;
}

static void lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = 2, .entry_timeout = 1, .attr_timeout = 1 };

	if (strcmp(name, "hello") != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill(2, &e.attr);
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

static void read_(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	size_t n = sizeof text - 1;

	if ((size_t)off >= n)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, text + off, n - off < size ? n - off : size);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = lookup, .getattr = getattr, .open = open_, .read = read_,
};

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], "-oallow_other,default_permissions,ro", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(2, fuse_argv);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof ops, NULL);

	if (!se || fuse_session_mount(se, argv[1]))
		return 1;
	fuse_set_signal_handlers(se);
	if (argc > 2)
		fuse_session_loop(se);
	else
		fuse_session_loop_mt(se, config);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	fuse_loop_cfg_destroy(config);
	return 0;
}
