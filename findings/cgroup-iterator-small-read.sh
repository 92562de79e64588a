#!/bin/bash
# Guess:     an iterator is read like any file: the size of the reads does not matter, as for the
#            kernel's other iterators (task, tcp, bpf_map).
# Behaviour: an iterator that walks cgroups gives its output to one read(2). A read that is smaller
#            than the output of the walk gets the first part, the rest of what was made until then
#            follows, and then EOPNOTSUPP in place of the other cgroups. So head, or dd with small
#            blocks, lose cgroups that cat shows. An iterator over tasks can be read byte by byte.
# Versions:  Linux 6.18, libbpf 1.1, clang 19. Needs root, gcc, clang-19, bpftool, libbpf-dev, and 30
#            cgroups below a cgroup2 mount, which it makes and removes.
# Seen:      cgroup: 31 (end) 1 (Operation not supported)
#            task: 50 (end) 50 (end)
#            Lines by one large read, then by reads of 8 bytes.
set -euo pipefail
work=$(mktemp -d)
top=$(findmnt -nfo TARGET -t cgroup2)/small-read-$$
trap 'rmdir "$top"/* "$top" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir "$top"
for i in $(seq 30); do mkdir "$top/$i"; done
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
cat >walk.bpf.c <<'END'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
SEC("iter/cgroup") int groups(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgroup = ctx->cgroup;

	if (cgroup)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%020llu\n", cgroup->kn->id);
	return 0;
}
SEC("iter/task") int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task && task->pid < 100)
		BPF_SEQ_PRINTF(ctx->meta->seq, "%020d\n", task->pid);
	return 0;
}
END
clang-19 -O2 -g -target bpf -c walk.bpf.c -o walk.bpf.o
cat >main.c <<'END'
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reads an iterator to its end in pieces, and counts the lines. */
static void count(struct bpf_link *link, size_t piece)
{
	static char buf[1 << 16];
	int fd = bpf_iter_create(bpf_link__fd(link)), lines = 0;
	ssize_t n;

	while ((n = read(fd, buf, piece)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	printf(" %d (%s)", lines, n ? strerror(errno) : "end");
	close(fd);
}

int main(int argc, char **argv)
{
	struct bpf_object *object = bpf_object__open(argv[1]);
	union bpf_iter_link_info info = {
		.cgroup = {.order = BPF_CGROUP_ITER_DESCENDANTS_PRE, .cgroup_fd = open(argv[2], O_RDONLY)}};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));
	struct bpf_link *groups, *tasks;

	if (!object || bpf_object__load(object))
		return 1;
	groups = bpf_program__attach_iter(bpf_object__find_program_by_name(object, "groups"), &opts);
	tasks = bpf_program__attach_iter(bpf_object__find_program_by_name(object, "tasks"), NULL);
	if (!groups || !tasks)
		return 1;
	printf("cgroup:"), count(groups, 1 << 16), count(groups, 8);
	printf("\ntask:"), count(tasks, 1 << 16), count(tasks, 8);
	printf("\n");
	return 0;
}
END
gcc -o main main.c -lbpf
./main walk.bpf.o "$top" | tee seen
grep -qx 'cgroup: 31 (end) 1 (Operation not supported)' seen && grep -Eqx 'task: ([0-9]+) \(end\) \1 \(end\)' seen
