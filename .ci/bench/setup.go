package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"bpfviewfs/.ci/stage"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// start makes the cgroups, mounts the subjects, and starts the clients.
func (b *bench) start() error {
	s := b.stage
	b.work = s.Name + "/work"
	if err := stage.MakeTree(s.Cgroup2+"/"+b.work, workers, 0); err != nil {
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

// program is the binary of a build.
func (b *bench) program(build string) string {
	return b.stage.Dir + "/" + map[string]string{thisBuild: "bpfviewfs", olderBuild: "older"}[build]
}

// mountBuilds mounts this build and the older one, of cgroup2 and of the v1 memory hierarchy.
func (b *bench) mountBuilds() error {
	if b.stage.Memory == "" {
		b.lacks(errors.New("no v1 memory hierarchy, and so no comparison with lxcfs"))
	}
	for _, name := range []string{thisBuild, olderBuild} {
		binary := b.program(name)
		if _, err := os.Stat(binary); err != nil {
			continue
		}
		mount := func(name, source string) (*subject, error) {
			s, err := b.stage.Mount(name, binary, source, "")
			return &subject{Server: s}, err
		}
		var err error
		if b.subjects[name], err = mount(name, "cgroup2"); err != nil {
			return err
		}
		if b.stage.Memory == "" {
			continue
		}
		if b.memory[name], err = mount(name+"-memory", b.stage.Memory); err != nil {
			return err
		}
	}
	return nil
}

// mountPeers mounts the installed peers.
func (b *bench) mountPeers() error {
	b.subjects[cgroupfs] = &subject{Server: &stage.Server{Name: cgroupfs, Dir: b.stage.Cgroup2}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	size, files := fmt.Sprint(staticSize), fmt.Sprint(workers)
	static := map[string][]string{stock: {self, "stock", "DIR", size, files}}
	if err := compileLibfuse(b.stage); err != nil {
		b.lacks(err)
	} else {
		static[single] = []string{b.stage.Dir + "/static", "DIR", size, files, "single"}
		static[multi] = []string{b.stage.Dir + "/static", "DIR", size, files}
	}
	for name, command := range static {
		s, err := b.stage.Serve(name, command[0], command[1:]...)
		if err != nil {
			return err
		}
		b.subjects[name] = &subject{s, true}
	}
	program, err := exec.LookPath("lxcfs")
	if err != nil {
		b.lacks(errors.New("no lxcfs: not installed (Debian: lxcfs)"))
		return nil
	}
	s, err := b.stage.Serve(lxcfs, program, "--foreground", "--pidfile="+b.stage.Dir+"/lxcfs.pid", "DIR")
	b.subjects[lxcfs] = &subject{Server: s}
	return err
}

// lacks prints and notes why a peer is missing.
func (b *bench) lacks(err error) {
	b.missing = append(b.missing, err.Error())
	fmt.Println(err)
}

// startInhabitant starts a process in c0 and in the run's cgroup of the memory hierarchy.
func (b *bench) startInhabitant() error {
	group, err := os.Open(b.stage.Cgroup2 + "/" + b.work + "/c0")
	if err != nil {
		return err
	}
	defer group.Close()
	cmd := exec.Command("sleep", "1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil || b.stage.Memory == "" {
		return err
	}
	list := filepath.Join(b.stage.Memory, b.stage.Name, "cgroup.procs")
	return os.WriteFile(list, fmt.Append(nil, cmd.Process.Pid), 0)
}

func (b *bench) startClients() error {
	cpu, walk, err := loadPrograms()
	if err != nil {
		return err
	}
	defer cpu.Close()
	defer walk.Close()
	if b.root, err = b.stage.StartClient("root", 0, cpu, walk); err != nil {
		return err
	}
	if b.one, err = b.stage.StartClient("one", oneUser); err != nil {
		return err
	}
	if b.crowd, err = b.stage.StartClient("crowd", crowdUser); err != nil {
		return err
	}
	b.intruder, err = b.stage.StartClient("intruder", crowdUser)
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
		Name: "walk", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "cgroup",
		License:      "GPL",
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
