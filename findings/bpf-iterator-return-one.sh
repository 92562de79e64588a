#!/bin/bash
# Guess:     the verifier lets the program of an iterator return 0 or 1, so 1 has one meaning for all kinds
#            of iterators. The object is skipped, or the walk ends, or the read fails once.
# Behaviour: it depends on the kind. With cgroups, 1 ends the walk. The object's output is kept, and the next
#            read(2) says end of file. With tasks and maps, 1 means to try the same object again. Its output
#            is dropped, and read(2) fails with EAGAIN, though there is nothing to wait for. If the program
#            returns 1 for that object each time, no read gets past it, and cat shows the objects before it
#            and an error.
# Versions:  Linux 6.18, libbpf 1.1, clang 19, bpftool 7.1.0. Needs root, gcc, bpftool, clang-19, libbpf-dev,
#            and three cgroups below a cgroup2 mount, which it makes and removes.
# Seen:      task, 0 for the second: 2 or more lines, end of file
#            task, 1 for the second: 1 line, EAGAIN EAGAIN EAGAIN
#            map, 0 for the second: 2 or more lines, end of file
#            map, 1 for the second: 1 line, EAGAIN EAGAIN EAGAIN
#            cgroup, 0 for the second: 3 lines, end of file
#            cgroup, 1 for the second: 2 lines, end of file
set -euo pipefail
work=$(mktemp -d)
top=$(findmnt -nfo TARGET -t cgroup2)/return-one-$$
trap 'rmdir "$top"/* "$top" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
mkdir "$top" "$top/1" "$top/2"
bpftool btf dump file /sys/kernel/btf/vmlinux format c >vmlinux.h
cat >walk.bpf.c <<'END'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, int);
} first SEC(".maps"), second SEC(".maps");

#define WALK(name, kind, field, result) \
	SEC("iter/" #kind) int name(struct bpf_iter__##kind *ctx) \
	{ \
		if (!ctx->field) \
			return 0; \
		BPF_SEQ_PRINTF(ctx->meta->seq, "line\n"); \
		return ctx->meta->seq_num == 1 ? result : 0; \
	}
WALK(task0, task, task, 0)
WALK(task1, task, task, 1)
WALK(map0, bpf_map, map, 0)
WALK(map1, bpf_map, map, 1)
WALK(cgroup0, cgroup, cgroup, 0)
WALK(cgroup1, cgroup, cgroup, 1)
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

/* Reads an iterator to its end, or to the third error. */
static void read_all(struct bpf_link *link, int exact)
{
	static char buf[1 << 16];
	int fd = bpf_iter_create(bpf_link__fd(link)), lines = 0, errors = 0;
	char end[64] = "";
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) && errors < 3) {
		if (n < 0) {
			strcat(end, errno == EAGAIN ? " EAGAIN" : " other error");
			errors++;
		}
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	}
	if (lines > 1 && !exact)
		printf("2 or more lines");
	else
		printf("%d line%s", lines, lines == 1 ? "" : "s");
	printf(",%s\n", n ? end : " end of file");
	close(fd);
}

int main(int argc, char **argv)
{
	const char *kinds[] = {"task", "map", "cgroup"};
	struct bpf_object *object = bpf_object__open(argv[1]);
	union bpf_iter_link_info info = {
		.cgroup = {.order = BPF_CGROUP_ITER_DESCENDANTS_PRE, .cgroup_fd = open(argv[2], O_RDONLY)}};
	LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = &info, .link_info_len = sizeof(info));

	if (!object || bpf_object__load(object))
		return 1;
	for (int i = 0; i < 6; i++) {
		int cgroup = i / 2 == 2;
		struct bpf_program *program;
		struct bpf_link *link;
		char name[16];

		snprintf(name, sizeof(name), "%s%d", kinds[i / 2], i % 2);
		program = bpf_object__find_program_by_name(object, name);
		link = bpf_program__attach_iter(program, cgroup ? &opts : NULL);
		if (!link)
			return 1;
		printf("%s, %d for the second: ", kinds[i / 2], i % 2);
		read_all(link, cgroup);
	}
	return 0;
}
END
gcc -o main main.c -lbpf
./main walk.bpf.o "$top" | tee seen

diff - seen <<'END'
task, 0 for the second: 2 or more lines, end of file
task, 1 for the second: 1 line, EAGAIN EAGAIN EAGAIN
map, 0 for the second: 2 or more lines, end of file
map, 1 for the second: 1 line, EAGAIN EAGAIN EAGAIN
cgroup, 0 for the second: 3 lines, end of file
cgroup, 1 for the second: 2 lines, end of file
END
