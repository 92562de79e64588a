package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
)

// subject is a mount to measure.
type subject struct {
	name   string
	dir    string
	cgroup string // of its processes
	static bool   // has the files f0, f1 ... instead of cgroups' directories
}

// file is the path of a cgroup's view, or of the n-th static file.
func (s *subject) file(cgroup, view string, n int) string {
	if s.static {
		return fmt.Sprintf("%s/f%d", s.dir, n)
	}
	return filepath.Join(s.dir, cgroup, view)
}

// serve starts a server in a new cgroup and waits until it has mounted. DIR in its arguments stands for the
// mount point.
func serve(p *place, name, program string, args ...string) (*subject, error) {
	s := &subject{name: name, dir: p.dir + "/mnt." + name, cgroup: p.cgroup + "/" + name}
	group, err := p.group(name)
	if err != nil {
		return nil, err
	}
	defer group.Close()
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	for i, a := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(a, "DIR", s.dir)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	var words bytes.Buffer
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if up, err := mountinfo.Mounted(s.dir); err == nil && up {
			return s, nil
		}
		select {
		case err := <-ended:
			if err != nil { // else it went to the background
				return nil, fmt.Errorf("%s: %w: %s", name, err, words.Bytes())
			}
		default:
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s: not mounted after a minute", name)
		}
	}
}

// mountProgram mounts a build of this program.
func mountProgram(p *place, name, binary, source string) (*subject, error) {
	options := "registry=none,mode=0444,views=" + p.dir + "/views"
	s, err := serve(p, name, binary, "mount", source, "DIR", "-o", options)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.ReadFile(s.dir + "/.bpfview/version"); err == nil {
			return s, nil
		} else if time.Now().After(deadline) {
			return nil, err
		}
	}
}

// compileLibfuse builds c/static.c.
func compileLibfuse(p *place) error {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "fuse3").Output()
	if err != nil {
		return errors.New("no libfuse: pkg-config knows no fuse3 (Debian: libfuse3-dev)")
	}
	args := []string{"-O2", "-o", p.dir + "/static", p.dir + "/static.c"}
	return command("cc", append(args, strings.Fields(string(flags))...)...)
}

// cpu is the CPU time of the subject's processes, also of those that have ended.
func (s *subject) cpu() (time.Duration, error) { return cpuTime(s.cgroup) }

// cpuTime is usage_usec of a cgroup.
func cpuTime(cgroup string) (time.Duration, error) {
	stat, err := os.ReadFile(cgroup + "/cpu.stat")
	if err != nil {
		return 0, err
	}
	var usec int64
	_, err = fmt.Sscanf(string(stat), "usage_usec %d", &usec)
	return time.Duration(usec) * time.Microsecond, err
}

// memory is the resident memory of the subject's processes, and the sum of their peaks since resetPeak, in
// MiB.
func (s *subject) memory() (now, peak float64, err error) {
	err = s.eachProcess(func(dir string) error {
		status, err := os.ReadFile(dir + "/status")
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, " kB\n"), ":")
			kib, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			switch name {
			case "VmRSS":
				now += kib / 1024
			case "VmHWM":
				peak += kib / 1024
			}
		}
		return err
	})
	return now, peak, err
}

// resetPeak resets the peaks of the subject's processes.
func (s *subject) resetPeak() error {
	return s.eachProcess(func(dir string) error { return os.WriteFile(dir+"/clear_refs", []byte("5"), 0) })
}

func (s *subject) eachProcess(do func(dir string) error) error {
	pids, err := os.ReadFile(s.cgroup + "/cgroup.procs")
	for pid := range strings.FieldsSeq(string(pids)) {
		err = errors.Join(err, do("/proc/"+pid))
	}
	return err
}
