/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
//go:build ignore

/*
 * The open files of a process, with a record for each descriptor. A table that threads share is shown once,
 * for its first living thread. A thread with a table of its own has records of its own. Files without a
 * descriptor are missing, for example those registered with io_uring, or on their way through a Unix socket.
 */
#include "bpfview.h"
#include "file.h"

enum file_type {
	FILE_ANON,
	FILE_BLOCK,
	FILE_CHARACTER,
	FILE_DIRECTORY,
	FILE_FIFO,
	FILE_REGULAR,
	FILE_SOCKET,
	FILE_SYMLINK,
	FILE_UNKNOWN,
};

enum access {
	ACCESS_READ,
	ACCESS_WRITE,
	ACCESS_READ_WRITE,
	ACCESS_NONE,
};

struct files_record {
	__u32 pid VIEW_KEY VIEW_HELP("process id");
	__u32 tid VIEW_KEY VIEW_HELP("first thread that has the table; /proc/PID/task/TID/fd");
	__u32 fd VIEW_KEY VIEW_HELP("descriptor");
	enum file_type type VIEW_BY
		VIEW_HELP("kind of the open file; anon: an event, timer, epoll, pidfd, BPF object and such");
	enum access access VIEW_HELP("what it is open for; none: O_PATH, or for ioctl alone");
	char comm[16] VIEW_HELP("name of the process");
	__u64 offset_bytes VIEW_GAUGE VIEW_UNIT("bytes") VIEW_OPTIONAL
		VIEW_HELP("position in the open file where the next read or write begins");
	__u64 size_bytes VIEW_GAUGE VIEW_UNIT("bytes") VIEW_OPTIONAL
		VIEW_HELP("size of the open regular file");
	bool deleted VIEW_HELP("it has no name any more: unlinked, or memory without one (memfd)");
	char file[264]
		VIEW_HELP("as in /proc/PID/fd, but for \" (deleted)\"; .../NAME if longer than 263 bytes");
};

VIEW_RECORD(struct files_record)

static __always_inline enum file_type type_of(const struct file *file)
{
	if (file_is_on(file, ANON_INODE_FS_MAGIC) || file_is_on(file, PID_FS_MAGIC))
		return FILE_ANON;
	switch (file->f_inode->i_mode & S_IFMT) {
	case S_IFBLK:
		return FILE_BLOCK;
	case S_IFCHR:
		return FILE_CHARACTER;
	case S_IFDIR:
		return FILE_DIRECTORY;
	case S_IFIFO:
		return FILE_FIFO;
	case S_IFREG:
		return FILE_REGULAR;
	case S_IFSOCK:
		return FILE_SOCKET;
	case S_IFLNK:
		return FILE_SYMLINK;
	}
	return FILE_UNKNOWN;
}

#define O_PATH 010000000

static __always_inline enum access access_of(const struct file *file)
{
	return file->f_flags & O_PATH ? ACCESS_NONE : file->f_flags & 3;
}

/* d_unlinked of include/linux/dcache.h. */
static __always_inline bool is_unlinked(const struct dentry *dentry)
{
	return !BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry;
}

/* Whether the file system makes the name up. It does for pipes, and for memory that no directory names. */
static __always_inline bool has_made_up_name(const struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_op, d_dname);
}

#define SUFFIX " (deleted)" /* which d_path adds to the two */
#define SUFFIX_SIZE sizeof(SUFFIX)

/*
 * Takes the suffix off a name of size bytes. The kernel's bpf_strncmp wants a constant in a map, and 6.1
 * lacks those.
 */
static __always_inline bool cut_suffix(char *name, __u64 size)
{
	char end[SUFFIX_SIZE] = {};
	__u64 at = size - SUFFIX_SIZE;

	barrier_var(at); /* so that the verifier sees one number compared and used */
	if (at > sizeof(((struct files_record *)0)->file) - SUFFIX_SIZE)
		return false;
	bpf_probe_read_kernel(end, sizeof(end), name + at);
	if (__builtin_memcmp(end, SUFFIX, SUFFIX_SIZE))
		return false;
	name[at] = 0;
	return true;
}

static __always_inline void set_path(struct files_record *r, struct file *file)
{
	static const char start[] = ".../";
	struct dentry *dentry = file->f_path.dentry;
	long size = bpf_d_path(&file->f_path, r->file, sizeof(r->file));

	if (size >= 0) {
		if (is_unlinked(dentry) || has_made_up_name(dentry))
			r->deleted = cut_suffix(r->file, size);
		return;
	}
	r->deleted = is_unlinked(dentry) || (has_made_up_name(dentry) && !file->f_inode->i_nlink);
	__builtin_memset(r->file, 0, sizeof(r->file));
	__builtin_memcpy(r->file, start, sizeof(start));
	bpf_probe_read_kernel_str(&r->file[sizeof(start) - 1], sizeof(r->file) - sizeof(start) + 1, dentry->d_name.name);
}

SEC("iter/task_file") VIEW_HELP("open files: process, descriptor, type, position, size, path") VIEW_VERSION(2)
int files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct files_record r;

	if (!task || !file)
		return 0;
	__builtin_memset(&r, 0, sizeof(r));
	r.pid = task->tgid;
	r.tid = task->pid;
	r.fd = ctx->fd;
	r.type = type_of(file);
	r.access = access_of(file);
	r.offset_bytes = r.size_bytes = ~0ULL;
	if (r.type == FILE_REGULAR || r.type == FILE_DIRECTORY || r.type == FILE_BLOCK)
		r.offset_bytes = file->f_pos;
	if (r.type == FILE_REGULAR)
		r.size_bytes = file->f_inode->i_size;
	bpf_probe_read_kernel_str(r.comm, sizeof(r.comm), task->group_leader->comm);
	set_path(&r, file);
	view_emit(ctx->meta->seq, &r);
	return 0;
}
