#!/bin/bash
# Guess:     whoever watches a cgroup's directory or its cgroup.events with inotify is told when the cgroup is
#            removed: IN_DELETE_SELF and IN_IGNORED, as for any directory and file, and the watch is gone.
# Behaviour: nothing comes, neither for the directory nor for the files. The watch stays: it counts
#            towards max_user_watches, and inotify_rm_watch still takes it. A program that waits for the end
#            of a cgroup waits forever, and one that adds a watch for each new cgroup runs out of them.
#            Only a watch on the parent directory gets IN_DELETE.
# Versions:  Linux 6.18. Needs root, python3, and a cgroup below a cgroup2 mount, which it makes and removes.
# Seen:      tmpfs file: DELETE_SELF IGNORED, watch gone
#            tmpfs directory: DELETE_SELF IGNORED, watch gone
#            cgroup.events: nothing, watch there
#            cgroup directory: nothing, watch there
#            parent: DELETE
set -euo pipefail
work=$(mktemp -d)
group=$(findmnt -nfo TARGET -t cgroup2)/inotify-removal-$$
trap 'umount -q "$work" || true; rmdir "$work"; rmdir "$group" 2>/dev/null || true' EXIT
mount -t tmpfs tmpfs "$work"
python3 - "$work/directory" "$group" <<'END' | tee "$work/seen"
import ctypes, os, select, struct, sys

NAMES = {0x200: "DELETE", 0x400: "DELETE_SELF", 0x8000: "IGNORED"}
IN_DELETE_SELF, IN_DELETE = 0x400, 0x200
libc = ctypes.CDLL(None, use_errno=True)

class Watch:
    def __init__(self, path, mask=IN_DELETE_SELF):
        self.fd = libc.inotify_init1(os.O_NONBLOCK)
        self.number = libc.inotify_add_watch(self.fd, path.encode(), mask)
        assert self.number > 0, path

    def events(self):
        names = []
        while select.select([self.fd], [], [], 1)[0]:
            data = os.read(self.fd, 4096)
            while data:
                _, mask, _, size = struct.unpack_from("iIII", data)
                names.append(NAMES[mask & 0x8600])
                data = data[16 + size:]
        return " ".join(names) or "nothing"

    def left(self):
        return "watch there" if libc.inotify_rm_watch(self.fd, self.number) == 0 else "watch gone"

directory, group = sys.argv[1:]
os.mkdir(directory)
open(directory + "/file", "w").close()
os.mkdir(group)
watches = {
    "tmpfs file": Watch(directory + "/file"),
    "tmpfs directory": Watch(directory),
    "cgroup.events": Watch(group + "/cgroup.events"),
    "cgroup directory": Watch(group),
}
parent = Watch(os.path.dirname(group), IN_DELETE)
os.unlink(directory + "/file")
os.rmdir(directory)
os.rmdir(group)
for what, watch in watches.items():
    print(f"{what}: {watch.events()}, {watch.left()}")
print("parent:", parent.events().split()[0])
END

diff - "$work/seen" <<'END'
tmpfs file: DELETE_SELF IGNORED, watch gone
tmpfs directory: DELETE_SELF IGNORED, watch gone
cgroup.events: nothing, watch there
cgroup directory: nothing, watch there
parent: DELETE
END
