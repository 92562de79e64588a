#!/bin/bash
# Guess:     reading the statistics of a cgroup that was removed is an error, as it is for the library of
#            runc.
# Behaviour: containerd's library gives none. A file that it cannot open counts as zero, so the cgroup has
#            used no CPU time and no memory, and has no processes. For a monitor its counters begin anew, and
#            a name that never was a cgroup's looks like an idle one. Only Manager.Controllers gives the
#            error.
# Versions:  github.com/containerd/cgroups/v3 v3.1.3, github.com/opencontainers/cgroups v0.1.0 (Go 1.26),
#            Linux 6.18. Needs go, root, and a cgroup below a cgroup2 mount, which it makes and removes.
# Seen:      there: containerd: CPU used: true, <nil>; runc: <nil>
#            gone: containerd: CPU used: false, 0 processes, <nil>; runc: ... no such file or directory
#            Controllers: ... no such file or directory
set -euo pipefail
work=$(mktemp -d)
top=$(findmnt -n -o TARGET -t cgroup2 | head -1)
name=finding-$$
trap 'rmdir "$top/$name" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
)

func main() {
	top, name := os.Args[1], os.Args[2]
	m, err := cgroup2.Load("/"+name, cgroup2.WithMountpoint(top))
	must(err)
	runc, err := fs2.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{}}, top+"/"+name)
	must(err)

	stat, err := m.Stat()
	_, runcErr := runc.GetStats()
	fmt.Printf("there: containerd: CPU used: %v, %v; runc: %v\n", stat.CPU.UsageUsec > 0, err, runcErr)

	must(os.WriteFile(top+"/cgroup.procs", fmt.Append(nil, os.Getpid()), 0)) // leave it
	must(os.Remove(top + "/" + name))
	stat, err = m.Stat()
	_, runcErr = runc.GetStats()
	_, controllersErr := m.Controllers()
	fmt.Printf("gone: containerd: CPU used: %v, %d processes, %v; runc: %v\nControllers: %v\n",
		stat.CPU.UsageUsec > 0, stat.Pids.Current, err, runcErr, controllersErr)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
GO
go mod init example >log 2>&1
go get github.com/containerd/cgroups/v3/cgroup2@v3.1.3 github.com/opencontainers/cgroups/fs2@v0.1.0 >>log 2>&1
go build -o example . >>log 2>&1
mkdir "$top/$name"
bash -c 'echo $$ >"$1/$2/cgroup.procs" && exec ./example "$1" "$2"' - "$top" "$name" >seen
cat seen
grep -qx 'there: containerd: CPU used: true, <nil>; runc: <nil>' seen
grep -q '^gone: containerd: CPU used: false, 0 processes, <nil>; runc: .*no such file or directory' seen
grep -q '^Controllers: .*no such file or directory$' seen
