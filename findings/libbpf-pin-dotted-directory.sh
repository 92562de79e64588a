#!/bin/bash
# Guess:     bpf_object__pin_maps(object, directory) pins the maps in that directory. As a bpffs takes no
#            dots, libbpf writes the dots in the maps' names (.rodata) as underscores.
# Behaviour: it writes underscores in the whole path. A bpffs may well be mounted at a path with a dot, as
#            that path is of another filesystem, and then the maps are pinned elsewhere: with bpffs at
#            tool-1.2 and tool-1_2 the call for the first gives 0 and pins in the second. Where nothing has
#            that name, it makes an empty directory there and fails. bpf_map__pin() keeps to its path.
# Versions:  libbpf 1.1.2 (Debian 12), clang 19, Linux 6.18. Needs root, gcc, clang-19, libbpf-dev.
# Seen:      bpf_map__pin: 0, tool-1.2/count
#            bpf_object__pin_maps without tool-1_2: Invalid argument, tool-1.2 tool-1_2
#            bpf_object__pin_maps: 0, tool-1_2/count
set -euo pipefail
work=$(mktemp -d)
trap 'umount -q "$work/tool-1.2" || true; umount -q "$work/tool-1_2" || true; rm -rf "$work"' EXIT
cd "$work"
cat >count.bpf.c <<'END'
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} count SEC(".maps");
END
clang-19 -O2 -g -target bpf -I"/usr/include/$(gcc -print-multiarch)" -c count.bpf.c -o count.bpf.o
cat >main.c <<'END'
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct bpf_object *object = bpf_object__open("count.bpf.o");
	int error;

	if (argc != 3 || !object || bpf_object__load(object))
		return 2;
	if (!strcmp(argv[1], "map"))
		error = bpf_map__pin(bpf_object__find_map_by_name(object, "count"), argv[2]);
	else
		error = bpf_object__pin_maps(object, argv[2]);
	fputs(error ? strerror(-error) : "0", stdout);
	return 0;
}
END
gcc -Wall -o pin main.c -lbpf
mkdir tool-1.2
mount -t bpf bpf tool-1.2
pins() { find tool-1* -name count; }
{
	echo "bpf_map__pin: $(./pin map tool-1.2/count), $(pins)"
	rm tool-1.2/count
	echo "bpf_object__pin_maps without tool-1_2: $(./pin object tool-1.2 2>log), $(echo tool-1*)"
	mount -t bpf bpf tool-1_2
	echo "bpf_object__pin_maps: $(./pin object tool-1.2), $(pins)"
} | tee seen

diff - seen <<'END'
bpf_map__pin: 0, tool-1.2/count
bpf_object__pin_maps without tool-1_2: Invalid argument, tool-1.2 tool-1_2
bpf_object__pin_maps: 0, tool-1_2/count
END
