package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// start makes the cgroups, mounts the subjects, and starts the clients.
func (b *bench) start() error {
	p := b.place
	b.work = p.name + "/work"
	if err := makeTree(p.cgroup2+"/"+b.work, workers, 0); err != nil {
		return err
	}
	if err := b.startInhabitant(); err != nil {
		return err
	}
	if err := b.mountBuilds(); err != nil {
		return err
	}
	if err := b.mountPeers(); err != nil {
		return err
	}
	return b.startClients()
}

// mountBuilds mounts this build and the older one, of cgroup2 and of the v1 memory hierarchy.
func (b *bench) mountBuilds() error {
	p := b.place
	for name, binary := range map[string]string{thisBuild: p.dir + "/ours", olderBuild: p.dir + "/base"} {
		if _, err := os.Stat(binary); err != nil {
			continue
		}
		s, err := mountProgram(p, name, binary, "cgroup2")
		if err != nil {
			return err
		}
		b.subjects[name] = s
		if p.memory == "" {
			continue
		}
		if b.memory[name], err = mountProgram(p, name+"-memory", binary, p.memory); err != nil {
			return err
		}
	}
	if p.memory == "" {
		b.lacks(errors.New("no v1 memory hierarchy, and so no comparison with lxcfs"))
	}
	return nil
}

// mountPeers mounts the installed peers.
func (b *bench) mountPeers() error {
	p := b.place
	b.subjects[cgroupfs] = &subject{name: cgroupfs, dir: p.cgroup2}
	size, files := fmt.Sprint(staticSize), fmt.Sprint(workers)
	static := map[string][]string{stock: {"/proc/self/exe", "stock", "DIR", size, files}}
	if err := compileLibfuse(p); err != nil {
		b.lacks(err)
	} else {
		static[single] = []string{p.dir + "/static", "DIR", size, files, "single"}
		static[multi] = []string{p.dir + "/static", "DIR", size, files}
	}
	for name, command := range static {
		s, err := serve(p, name, command[0], command[1:]...)
		if err != nil {
			return err
		}
		s.static = true
		b.subjects[name] = s
	}
	program, err := exec.LookPath("lxcfs")
	if err != nil {
		b.lacks(errors.New("no lxcfs: not installed (Debian: lxcfs)"))
		return nil
	}
	b.subjects[lxcfs], err = serve(p, lxcfs, program, "--foreground", "--pidfile="+p.dir+"/lxcfs.pid", "DIR")
	return err
}

// lacks prints and notes why a peer is missing.
func (b *bench) lacks(err error) {
	b.missing = append(b.missing, err.Error())
	fmt.Println(err)
}

// startInhabitant starts a process in c0 and in the run's cgroup of the memory hierarchy.
func (b *bench) startInhabitant() error {
	group, err := os.Open(b.place.cgroup2 + "/" + b.work + "/c0")
	if err != nil {
		return err
	}
	defer group.Close()
	cmd := exec.Command("sleep", "1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil || b.place.memory == "" {
		return err
	}
	list := filepath.Join(b.place.memory, b.place.name, "cgroup.procs")
	return os.WriteFile(list, fmt.Append(nil, cmd.Process.Pid), 0)
}

func (b *bench) startClients() error {
	cpu, walk, err := loadPrograms()
	if err != nil {
		return err
	}
	defer cpu.Close()
	defer walk.Close()
	if b.root, err = startClient(b.place, 0, cpu, walk); err != nil {
		return err
	}
	if b.one, err = startClient(b.place, oneUser); err != nil {
		return err
	}
	if b.crowd, err = startClient(b.place, crowdUser); err != nil {
		return err
	}
	b.intruder, err = startClient(b.place, crowdUser)
	return err
}

// loadPrograms loads the program of the view cpu, and a cgroup iterator that does nothing.
func loadPrograms() (cpu, walk *os.File, err error) {
	spec, err := ebpf.LoadCollectionSpec("bpf/cpu.bpf.o")
	if err != nil {
		return nil, nil, err
	}
	for name := range spec.Programs {
		if name != "cpu" {
			delete(spec.Programs, name)
		}
	}
	loaded, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, nil, err
	}
	defer loaded.Close()
	counts, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "walk", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "cgroup", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return nil, nil, err
	}
	defer counts.Close()
	if cpu, err = programFile(loaded.Programs["cpu"]); err != nil {
		return nil, nil, err
	}
	walk, err = programFile(counts)
	return cpu, walk, err
}

func programFile(p *ebpf.Program) (*os.File, error) {
	fd, err := syscall.Dup(p.FD())
	return os.NewFile(uintptr(fd), "program"), err
}

// makeTree makes the cgroup top with the children c0, c1 ..., each of which has depth children d0, d1 ...
func makeTree(top string, width, depth int) error {
	if err := os.MkdirAll(top, 0o755); err != nil {
		return err
	}
	for i := range width {
		path := fmt.Sprintf("%s/c%d", top, i)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		for j := range depth {
			if err := os.Mkdir(fmt.Sprintf("%s/d%d", path, j), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}
