package stage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// shareCPU has the scheduler share the CPUs among the stage's groups, as systemd does it among services and
// users. Without this, a thousand threads of one client would take the CPUs from all others. Other programs
// on the machine get little while the stage works.
func (s *Stage) shareCPU() error {
	if s.cpu != "" {
		dir := s.cpu + "/" + s.Name
		return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/cpu.shares", []byte("262144"), 0))
	}
	controllers, err := os.ReadFile(s.Cgroup2 + "/cgroup.controllers")
	if err != nil || !slices.Contains(strings.Fields(string(controllers)), "cpu") {
		return err
	}
	for _, dir := range []string{s.Cgroup2, s.Cgroup} {
		if err := os.WriteFile(dir+"/cgroup.subtree_control", []byte("+cpu"), 0); err != nil {
			return err
		}
	}
	return os.WriteFile(s.Cgroup+"/cpu.weight", []byte("10000"), 0)
}

// start starts a program in a group of the stage. The program must not have children of its own before
// start returns.
func (s *Stage) start(name string, cmd *exec.Cmd) error {
	path := s.Cgroup + "/" + name
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	group, err := os.Open(path)
	if err != nil {
		return err
	}
	defer group.Close()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	if err := cmd.Start(); err != nil || s.cpu == "" {
		return err
	}
	path = s.cpu + "/" + s.Name + "/" + name
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.WriteFile(path+"/cgroup.procs", fmt.Append(nil, cmd.Process.Pid), 0)
}
