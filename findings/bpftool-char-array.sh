#!/bin/bash
# Guess:     in the JSON of `bpftool map dump` a member of type char[8] has one JSON type: a string, or a
#            list of numbers.
# Behaviour: the bytes of each row decide. If they are printable ASCII up to a zero byte, the member is a
#            string, and what follows the zero byte is left out. Otherwise it is a list of numbers. A name
#            with an umlaut, a tab or without room for a zero byte is a list, though the rows beside it have
#            strings. A binary identifier that begins with a zero byte is "", so rows that differ look
#            equal.
# Versions:  bpftool 7.1.0, libbpf 1.1, clang 19, Linux 6.18. Needs root, gcc, bpftool, clang-19, libbpf-dev,
#            jq.
# Seen:      {"name":"bash","id":[1,2,3,4]}
#            {"name":[103,114,-61,-74,-61,-97,0,0],"id":""}
#            {"name":[110,105,110,101,32,98,117,116],"id":""}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >rows.h <<'END'
struct row {
	char name[8];
	char id[4];
};
END
cat >rows.bpf.c <<'END'
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "rows.h"
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, struct row);
} rows SEC(".maps");
END
clang-19 -O2 -g -target bpf -I"/usr/include/$(gcc -print-multiarch)" -c rows.bpf.c -o rows.bpf.o
cat >main.c <<'END'
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"

static const struct row row[] = {
	{ "bash", { 1, 2, 3, 4 } },
	{ "gr\303\266\303\237", { 0, 1, 2, 3 } },
	{ { 'n', 'i', 'n', 'e', ' ', 'b', 'u', 't' }, { 0, 7, 8, 9 } },
};

int main(void)
{
	struct bpf_object *object = bpf_object__open("rows.bpf.o");
	struct bpf_map_info info = {};
	char command[64];
	__u32 size = sizeof(info);
	int map;

	if (!object || bpf_object__load(object))
		return 1;
	map = bpf_object__find_map_fd_by_name(object, "rows");
	for (__u32 i = 0; i < 3; i++)
		if (bpf_map_update_elem(map, &i, &row[i], BPF_ANY))
			return 1;
	if (bpf_obj_get_info_by_fd(map, &info, &size))
		return 1;
	snprintf(command, sizeof(command), "bpftool -j map dump id %u", info.id);
	return system(command);
}
END
gcc -Wall -o rows main.c -lbpf
./rows | jq -c '.[].formatted.value' | tee seen

diff - seen <<'END'
{"name":"bash","id":[1,2,3,4]}
{"name":[103,114,-61,-74,-61,-97,0,0],"id":""}
{"name":[110,105,110,101,32,98,117,116],"id":""}
END
