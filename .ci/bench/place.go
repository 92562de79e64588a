package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

//go:embed c/client.c c/static.c c/burn.bpf.o
var sources embed.FS

// place is where a run works, under one name: a directory for programs and mounts, a cgroup for processes
// and trees, and a cgroup of the v1 memory hierarchy if there is one.
type place struct {
	name, dir, cgroup string
	cgroup2, memory   string // mount points of the hierarchies; memory may be ""
}

func newPlace() (*place, error) {
	dir, err := os.MkdirTemp("", "bpfviewfs-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // clients run as other users
		return nil, err
	}
	p := openPlace(filepath.Base(dir))
	if p.cgroup2 == "" {
		os.RemoveAll(dir)
		return nil, errors.New("bench: no cgroup2 mount")
	}
	if p.memory != "" {
		if err := os.Mkdir(p.memory+"/"+p.name, 0o755); err != nil {
			return nil, err
		}
	}
	return p, os.Mkdir(p.cgroup, 0o755)
}

func openPlace(name string) *place {
	p := &place{name: name, dir: filepath.Join(os.TempDir(), name)}
	mounts, _ := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2", "cgroup"))
	for _, m := range mounts {
		switch {
		case m.FSType == "cgroup2" && p.cgroup2 == "":
			p.cgroup2 = m.Mountpoint
		case m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), "memory"):
			p.memory = m.Mountpoint
		}
	}
	p.cgroup = p.cgroup2 + "/" + name
	return p
}

func (p *place) writeFiles() error {
	if err := os.Mkdir(p.dir+"/views", 0o755); err != nil {
		return err
	}
	files := map[string]string{"client.c": "client.c", "static.c": "static.c", "burn.bpf.o": "views/burn.bpf.o"}
	for from, to := range files {
		data, err := sources.ReadFile("c/" + from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.dir+"/"+to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// group makes a cgroup in the run's cgroup, and opens its directory.
func (p *place) group(name string) (*os.File, error) {
	path := p.cgroup + "/" + name
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// kill ends every process of the run but the supervisor.
func (p *place) kill() error {
	return os.WriteFile(p.cgroup+"/cgroup.kill", []byte("1"), 0)
}

// remove ends all processes, and removes mounts, cgroups and files.
func (p *place) remove() error {
	errs := []error{p.kill()}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(p.dir))
	errs = append(errs, err)
	for _, m := range slices.Backward(mounts) {
		unix.Unmount(m.Mountpoint, unix.MNT_DETACH) // may have gone with its server
	}
	errs = append(errs, removeTree(p.cgroup))
	if p.memory != "" {
		errs = append(errs, removeTree(p.memory+"/"+p.name))
	}
	if mounted, err := mountinfo.GetMounts(mountinfo.PrefixFilter(p.dir)); err != nil || len(mounted) > 0 {
		return errors.Join(append(errs, err, fmt.Errorf("bench: still mounted below %s", p.dir))...)
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

// removeTree removes a cgroup and its descendants. It waits up to 20 s for processes to end.
func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if e := unix.Rmdir(dir); e == nil || time.Now().After(deadline) {
				err = errors.Join(err, e)
				break
			}
		}
	}
	return err
}
