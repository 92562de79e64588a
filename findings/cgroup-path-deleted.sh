#!/bin/bash
# Guess:     a library that gives the cgroup of a process gives a path that is below the mount of cgroup2. If
#            the cgroup was removed meanwhile, the path is there no more, or the library gives an error.
# Behaviour: the kernel adds " (deleted)" to the path of a removed cgroup in /proc/PID/cgroup. That is so for a
#            process that has ended and that its parent did not wait for, because such a cgroup can be removed.
#            The libraries of containerd, runc and Prometheus give the path with those ten characters and no
#            error. A library that splits the path into names, for labels or to find a container, has
#            a last name that no cgroup had. containerd's library loads the path, and shows a cgroup that
#            used nothing.
# Versions:  github.com/containerd/cgroups/v3 v3.1.3, github.com/opencontainers/cgroups v0.1.0,
#            github.com/prometheus/procfs v0.23.0 (Go 1.26), Linux 6.18. Needs go, root, python3, and a cgroup
#            below a cgroup2 mount, which it makes and removes.
# Seen:      lives: containerd: a.service; runc: a.service; procfs: a.service
#            gone: containerd: a.service (deleted); runc: a.service (deleted); procfs: a.service (deleted)
#            loaded: <nil>, CPU used: false
set -euo pipefail
work=$(mktemp -d)
top=$(findmnt -n -o TARGET -t cgroup2 | head -1)
trap 'rmdir "$top/path-deleted-$$"/* "$top/path-deleted-$$" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"path"
	"strconv"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/cgroups"
	"github.com/prometheus/procfs"
)

func main() {
	top, when := os.Args[1], os.Args[2]
	pid, err := strconv.Atoi(os.Args[3])
	must(err)
	containerd, err := cgroup2.PidGroupPath(pid)
	must(err)
	runc, err := cgroups.ParseCgroupFile("/proc/" + os.Args[3] + "/cgroup")
	must(err)
	process, err := procfs.NewProc(pid)
	must(err)
	all, err := process.Cgroups()
	must(err)
	var prometheus string
	for _, c := range all {
		if c.HierarchyID == 0 {
			prometheus = c.Path
		}
	}
	fmt.Printf("%s: containerd: %s; runc: %s; procfs: %s\n", when,
		path.Base(containerd), path.Base(runc[""]), path.Base(prometheus))
	if when == "gone" {
		m, err := cgroup2.Load(containerd, cgroup2.WithMountpoint(top))
		must(err)
		stat, err := m.Stat()
		fmt.Printf("loaded: %v, CPU used: %v\n", err, stat.CPU.UsageUsec > 0)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go mod init example >log 2>&1
go get github.com/containerd/cgroups/v3/cgroup2@v3.1.3 github.com/opencontainers/cgroups@v0.1.0 \
	github.com/prometheus/procfs@v0.23.0 >>log 2>&1
go build -o example . >>log 2>&1
mkdir -p "$top/path-deleted-$$/a.service"
python3 - "$top" "$top/path-deleted-$$/a.service" <<'END' | tee seen
import os, subprocess, sys, time

top, group = sys.argv[1:]
ready, go = os.pipe(), os.pipe()
pid = os.fork()
if not pid:
    with open(group + "/cgroup.procs", "w") as procs:
        procs.write("0")
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
subprocess.run(["./example", top, "lives", str(pid)], check=True)
os.write(go[1], b"x")
while True:
    with open(f"/proc/{pid}/stat") as stat:
        if stat.read().rpartition(")")[2].split()[0] == "Z":
            break
    time.sleep(0.1)
os.rmdir(group)
subprocess.run(["./example", top, "gone", str(pid)], check=True)
os.waitpid(pid, 0)
END

diff - seen <<'END'
lives: containerd: a.service; runc: a.service; procfs: a.service
gone: containerd: a.service (deleted); runc: a.service (deleted); procfs: a.service (deleted)
loaded: <nil>, CPU used: false
END
