#!/bin/bash
# Guess:     the mount points that Go libraries read from /proc are paths of the filesystem. The kernel
#            writes a space as \040 there, and a library undoes that.
# Behaviour: moby/sys/mountinfo does. Kubernetes' mount-utils and Prometheus' procfs leave \040 in the path,
#            so that no file has it. GetMountRefs, by which a volume plugin asks whether something is mounted
#            a second time, answers none and no error for a path with a space. Asked from the other side it
#            gives the path with \040. IsMountPoint knows the path, because it asks the kernel first.
# Versions:  k8s.io/mount-utils v0.37.2, github.com/prometheus/procfs v0.23.0, github.com/moby/sys/mountinfo
#            v0.7.3 (Go 1.26). Needs go and root.
# Seen:      moby/sys/mountinfo: "a b" "c"
#            procfs: "a\\040b" "c"
#            mount-utils List: "a\\040b" "c"
#            mount-utils GetMountRefs of "a b": [] <nil>
#            mount-utils GetMountRefs of "c": ["a\\040b"] <nil>
#            mount-utils IsMountPoint of "a b": true <nil>
set -euo pipefail
work=$(mktemp -d)
trap 'umount -q "$work/c" || true; umount -q "$work/a b" || true; rm -rf "$work"' EXIT
cd "$work"
mkdir c "a b"
cat >main.go <<'END'
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"github.com/prometheus/procfs"
	"k8s.io/mount-utils"
)

var top = os.Args[1]

func main() {
	var places []string
	infos, err := mountinfo.GetMounts(nil)
	check(err)
	for _, info := range infos {
		places = append(places, info.Mountpoint)
	}
	show("moby/sys/mountinfo", places)

	places = nil
	mounts, err := procfs.GetMounts()
	check(err)
	for _, mount := range mounts {
		places = append(places, mount.MountPoint)
	}
	show("procfs", places)

	places = nil
	mounter := mount.New("")
	points, err := mounter.List()
	check(err)
	for _, point := range points {
		places = append(places, point.Path)
	}
	show("mount-utils List", places)

	for _, name := range []string{"a b", "c"} {
		refs, err := mounter.GetMountRefs(filepath.Join(top, name))
		fmt.Printf("mount-utils GetMountRefs of %q: %q %v\n", name, names(refs), err)
	}
	is, err := mounter.IsMountPoint(filepath.Join(top, "a b"))
	fmt.Printf("mount-utils IsMountPoint of %q: %v %v\n", "a b", is, err)
}

// show prints the mount points in this script's folder.
func show(what string, places []string) {
	fmt.Print(what, ":")
	for _, name := range names(places) {
		fmt.Printf(" %q", name)
	}
	fmt.Println()
}

func names(places []string) []string {
	var found []string
	for _, place := range places {
		if filepath.Dir(place) == top {
			found = append(found, filepath.Base(place))
		}
	}
	return found
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
END
{
	go mod init mounts
	go get k8s.io/mount-utils@v0.37.2 github.com/prometheus/procfs@v0.23.0 github.com/moby/sys/mountinfo@v0.7.3
	go mod tidy
	go build
} >log 2>&1
mount -t tmpfs none "a b"
mount --bind "a b" c
./mounts "$work" | tee seen

diff - seen <<'END'
moby/sys/mountinfo: "a b" "c"
procfs: "a\\040b" "c"
mount-utils List: "a\\040b" "c"
mount-utils GetMountRefs of "a b": [] <nil>
mount-utils GetMountRefs of "c": ["a\\040b"] <nil>
mount-utils IsMountPoint of "a b": true <nil>
END
