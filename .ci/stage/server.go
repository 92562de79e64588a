package stage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
)

// Server is a mount and the processes that serve it.
type Server struct {
	Name   string
	Dir    string // mount point
	Cgroup string // directory of the processes' cgroup
}

// Serve starts a server in a new cgroup and waits until it has mounted. DIR in its arguments stands for the
// mount point.
func (stage *Stage) Serve(name, program string, args ...string) (*Server, error) {
	s := &Server{Name: name, Dir: stage.Dir + "/mnt." + name, Cgroup: stage.Cgroup + "/" + name}
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		return nil, err
	}
	// The shell waits until it is in the cgroups: the program may go to the background at once.
	cmd := exec.Command("sh", append([]string{"-c", `read -r go && exec "$0" "$@"`, program}, args...)...)
	for i, a := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(a, "DIR", s.Dir)
	}
	var words bytes.Buffer
	cmd.Stderr = &words
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := stage.start(name, cmd); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(input, "go\n"); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if up, err := mountinfo.Mounted(s.Dir); err == nil && up {
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

// Program starts a program in a new cgroup. It ends with the stage.
func (stage *Stage) Program(name, program string, args ...string) (*Server, error) {
	s := &Server{Name: name, Cgroup: stage.Cgroup + "/" + name}
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	return s, stage.start(name, cmd)
}

// Mount mounts a build of this program with mode 0444, the stage's views directory, and a registry of its
// own.
func (stage *Stage) Mount(name, binary, source, options string) (*Server, error) {
	options = "mode=0444,views=" + stage.Dir + "/views,registry=" + stage.Registry(name) + options
	s, err := stage.Serve(name, binary, "mount", source, "DIR", "-o", options)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.ReadFile(s.Dir + "/.bpfview/version"); err == nil {
			return s, nil
		} else if time.Now().After(deadline) {
			return nil, err
		}
	}
}

// Registry is the directory in which a mount pins its programs.
func (stage *Stage) Registry(name string) string { return stage.Dir + "/bpf/" + name }

// CPU is the CPU time of the server's processes, also of those that have ended.
func (s *Server) CPU() (time.Duration, error) { return CPUTime(s.Cgroup) }

// CPUTime is usage_usec of a cgroup.
func CPUTime(cgroup string) (time.Duration, error) {
	stat, err := os.ReadFile(cgroup + "/cpu.stat")
	if err != nil {
		return 0, err
	}
	var usec int64
	_, err = fmt.Sscanf(string(stat), "usage_usec %d", &usec)
	return time.Duration(usec) * time.Microsecond, err
}

// Memory is the resident memory of the server's processes, and the sum of their peaks since ResetPeak, in
// MiB.
func (s *Server) Memory() (now, peak float64, err error) {
	err = s.EachProcess(func(dir string) error {
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

// ResetPeak resets the peaks of the server's processes.
func (s *Server) ResetPeak() error {
	return s.EachProcess(func(dir string) error {
		return os.WriteFile(dir+"/clear_refs", []byte("5"), 0)
	})
}

// EachProcess calls do with the /proc directory of each of the server's processes.
func (s *Server) EachProcess(do func(dir string) error) error {
	pids, err := os.ReadFile(s.Cgroup + "/cgroup.procs")
	for pid := range strings.FieldsSeq(string(pids)) {
		err = errors.Join(err, do("/proc/"+pid))
	}
	return err
}
