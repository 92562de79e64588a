// Package stage is the place where programs that measure and load this program work. It has a directory, a
// cgroup with everything they start, mounts of several programs, and clients of several users. All of it is
// removed at the end.
package stage

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Stage has one name for a directory, a cgroup, and a cgroup of the v1 memory hierarchy if there is one.
type Stage struct {
	Name    string // begins with "bpfviewfs-"
	Dir     string // programs, mount points, the views directory "views", and a bpffs
	Cgroup  string // directory of the cgroup that all processes are in
	Cgroup2 string // mount point of the cgroup2 hierarchy
	Memory  string // mount point of the v1 memory hierarchy, or ""

	cpu string // mount point of the v1 cpu hierarchy, or ""
}

// insideVar names the stage in the environment of the process that works on it. Its parent cleans up.
const insideVar = "BPFVIEWFS_STAGE"

//go:embed c/client.c
var clientSource []byte

// Run makes a stage, builds this program and the client there, and calls prepare. Then it starts this
// process again in a cgroup of the stage, with the same arguments. In that process Run only calls work. Run
// cleans up when it ends, or when a signal comes. It needs root and the module as working directory.
func Run(prepare, work func(*Stage) error) (err error) {
	if name := os.Getenv(insideVar); name != "" {
		return work(open(name))
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, to mount and to run BPF programs")
	}
	s, err := create()
	if s != nil {
		defer func() { err = cmp.Or(err, s.remove()) }()
	}
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := s.build(); err != nil {
		return err
	}
	if err := prepare(s); err != nil {
		return err
	}
	return s.supervise(signals)
}

func create() (*Stage, error) {
	dir, err := os.MkdirTemp("", "bpfviewfs-stage-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // clients run as other users
		return nil, err
	}
	s := open(filepath.Base(dir))
	if s.Cgroup2 == "" {
		os.RemoveAll(dir)
		return nil, errors.New("no cgroup2 hierarchy is mounted")
	}
	if s.Memory != "" {
		if err := os.Mkdir(s.Memory+"/"+s.Name, 0o755); err != nil {
			return nil, err
		}
	}
	err = errors.Join(os.Mkdir(s.Cgroup, 0o755), s.shareCPU(), os.Mkdir(s.Dir+"/views", 0o755),
		os.Mkdir(s.Dir+"/bpf", 0o755))
	if err != nil {
		return s, err
	}
	if err := unix.Mount("bpf", s.Dir+"/bpf", "bpf", 0, ""); err != nil {
		return s, fmt.Errorf("mount a bpffs: %w", err)
	}
	return s, nil
}

func open(name string) *Stage {
	s := &Stage{Name: name, Dir: filepath.Join(os.TempDir(), name)}
	mounts, _ := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2", "cgroup"))
	for _, m := range mounts {
		switch {
		case m.FSType == "cgroup2" && s.Cgroup2 == "":
			s.Cgroup2 = m.Mountpoint
		case m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), "memory"):
			s.Memory = m.Mountpoint
		case m.FSType == "cgroup" && slices.Contains(strings.Split(m.VFSOptions, ","), "cpu"):
			s.cpu = m.Mountpoint
		}
	}
	s.Cgroup = s.Cgroup2 + "/" + name
	return s
}

// build builds this program as bpfviewfs, and the client.
func (s *Stage) build() error {
	if err := Command("go", "build", "-o", s.Dir+"/bpfviewfs", "./cmd/bpfviewfs"); err != nil {
		return err
	}
	if err := os.WriteFile(s.Dir+"/client.c", clientSource, 0o644); err != nil {
		return err
	}
	if err := Command("cc", "-O2", "-pthread", "-o", s.Dir+"/client", s.Dir+"/client.c"); err != nil {
		return fmt.Errorf("the clients are C programs: %w", err)
	}
	return nil
}

func (s *Stage) supervise(signals <-chan os.Signal) error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"="+s.Name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := s.start("work", cmd); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case number := <-signals:
		err := s.kill()
		<-ended
		return errors.Join(fmt.Errorf("ended by a signal: %s", number), err)
	}
}

// Command runs a program. If that fails, the error has its output.
func Command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
