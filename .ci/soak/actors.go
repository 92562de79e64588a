package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"bpfviewfs/.ci/stage"
	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// makeCgroups makes and removes a cgroup with a child. Readers look at it all the time.
func (k *soak) makeCgroups(done <-chan struct{}) error {
	path := k.stage.Cgroup + "/" + k.top + "/passing"
	defer stage.RemoveTree(path)
	return every(50*time.Millisecond, done, func(int) error {
		if err := os.MkdirAll(path+"/child", 0o755); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
		k.counts.done("make a cgroup", 0)
		return errors.Join(os.Remove(path+"/child"), os.Remove(path))
	})
}

// makeViews puts an object into the views directory and pins a program, and takes both away. At its end it
// waits until the mount no longer lists their trees, because the server learns of the removal a moment later.
func (k *soak) makeViews(done <-chan struct{}) error {
	object, err := os.ReadFile("iter/testdata/says.bpf.o")
	if err != nil {
		return err
	}
	programs, err := ebpf.LoadCollection("iter/testdata/walk.bpf.o")
	if err != nil {
		return err
	}
	defer programs.Close()
	program := programs.Programs["walk"]
	file := k.stage.Dir + "/views/says.bpf.o"
	defer os.Remove(file)
	defer program.Unpin()
	err = every(700*time.Millisecond, done, func(int) error {
		err := errors.Join(os.WriteFile(file, object, 0o644), program.Pin(k.registry+"/walk"))
		time.Sleep(700 * time.Millisecond)
		k.counts.done("make views", 0)
		return errors.Join(err, os.Remove(file), program.Unpin())
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"says", "walk"} {
		if err := untilGone(k.server.Dir + "/.bpfview/tree/" + name); err != nil {
			return err
		}
	}
	return nil
}

// untilGone waits until a file is gone, as long as an operation may take.
func untilGone(file string) error {
	for end := time.Now().Add(longest); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is there %v after its view was removed", file, longest)
}

// replaceServers kills the server, reloads, and reloads with the keeper, in turns. If a server were killed
// while a reload prepares it, the reload would fail.
func (k *soak) replaceServers(done <-chan struct{}) error {
	return every(4*time.Second, done, func(i int) error {
		args := []string{"reload", k.server.Dir}
		switch i % 3 {
		case 0:
			pid, err := k.serving()
			if err != nil {
				return err
			}
			k.counts.done("kill a server", 0)
			return unix.Kill(pid, unix.SIGKILL)
		case 2:
			args = append(args, "--keeper")
		}
		if err := stage.Command(k.stage.Dir+"/bpfviewfs", args...); err != nil {
			return err
		}
		k.counts.done("reload", 0)
		return nil
	})
}

// serving is the process id of the server that serves.
func (k *soak) serving() (pid int, err error) {
	text, err := os.ReadFile(k.server.Dir + "/.bpfview/status.json")
	if err != nil {
		return 0, err
	}
	var status struct {
		Process struct {
			Server int `json:"server_pid"`
		}
	}
	err = json.Unmarshal(text, &status)
	return status.Process.Server, err
}

// flood has a user overload the mount with 100 threads, in one way after the other. Its operations may fail
// for lack of room.
func (k *soak) flood(uid int) func(<-chan struct{}) error {
	return func(done <-chan struct{}) error {
		c, err := k.stage.StartClient(fmt.Sprint("user", uid), uid)
		if err != nil {
			return err
		}
		dir := k.server.Dir + "/" + k.top
		jobs := []stage.Job{
			{Kind: "open", Paths: []string{dir + "/c0/cpu"}},
			{Kind: "stat", Paths: []string{dir + "/c0/cpu", dir + "/c1/.bpfview/json/cpu.json",
				dir + "/none"}},
			{Kind: "list", Paths: []string{dir, k.server.Dir}},
			{Kind: "pread", Paths: []string{dir + "/c0/tasks", dir + "/c1/psi"}},
			{Kind: "open", Paths: []string{dir + "/.bpfview/tree/cpu.json"}},
		}
		return every(100*time.Millisecond, done, func(i int) error {
			j := jobs[(i+uid)%len(jobs)]
			j.Threads, j.Limit = 100, 2*time.Second
			if err := c.Start(j); err != nil {
				return err
			}
			a, err := c.Wait()
			if err != nil {
				return err
			}
			k.counts.add("flood: "+j.Kind, a.Operations, 0)
			if a.Errors > 0 {
				k.counts.fail("flood: "+j.Kind, a.Errors, a.Errno,
					fmt.Errorf("%s: %w", j.Paths[0], a.Errno))
			}
			return nil
		})
	}
}
