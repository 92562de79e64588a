// Command kills has readers read a mount while its servers are killed and replaced, and tells how long they
// waited. It mounts the command at -command. It fails if a read does, or if a result is not whole.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var (
	command  = flag.String("command", "bpfviewfs", "`program` to mount")
	base     = flag.String("hierarchy", "/sys/fs/cgroup/unified", "of cgroup2")
	cgroups  = flag.Int("cgroups", 1000, "in the tree")
	readers  = flag.Int("readers", 16, "half of files, half of trees")
	kills    = flag.Int("kills", 100, "of the server that serves")
	upgrades = flag.Int("upgrades", 40, "by bpfviewfs reload, at the same time")
	pause    = flag.Duration("pause", 200*time.Millisecond, "between two ends of a server")
	idle     = flag.Bool("idle", false, "one reader of a file or tree right after each kill, in place of load")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// file is a file of the mount, and how long its readers waited.
type file struct {
	path  string
	lines int // of every result

	mu     sync.Mutex
	all    []time.Duration
	failed map[string]int
}

func (f *file) add(d time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, d)
	if err != nil {
		if f.failed == nil {
			f.failed = map[string]int{}
		}
		f.failed[err.Error()]++
	}
}

func (f *file) print(what string) {
	slices.Sort(f.all)
	at := func(q float64) time.Duration {
		if len(f.all) == 0 {
			return 0
		}
		return f.all[int(q*float64(len(f.all)-1))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-5s %7d reads, median %v, p99 %v, p99.9 %v, worst %v",
		what, len(f.all), at(.5), at(.99), at(.999), at(1))
	for err, n := range f.failed {
		fmt.Printf("; %d: %s", n, err)
	}
	fmt.Println()
}

// read reads the file, and notes the time.
func (f *file) read() {
	start := time.Now()
	text, err := os.ReadFile(f.path)
	if lines := bytes.Count(text, []byte{'\n'}); err == nil && lines != f.lines {
		err = fmt.Errorf("%d lines in place of %d", lines, f.lines)
	}
	f.add(time.Since(start), err)
}

func run() (err error) {
	dir, err := os.MkdirTemp("", "bpfview-kills-")
	if err != nil {
		return err
	}
	registry := dir + "-bpf"
	if err := os.Mkdir(registry, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("bpf", registry, "bpf", 0, "mode=700"); err != nil {
		return err
	}
	top := filepath.Join(*base, filepath.Base(dir))
	defer func() {
		exec.Command("umount", dir).Run()
		for range 100 {
			if unix.Unmount(registry, 0) == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		os.Remove(registry)
		os.Remove(dir)
		for i := range *cgroups {
			os.Remove(fmt.Sprintf("%s/g%d/c%d", top, i%100, i))
		}
		for i := range 100 {
			os.Remove(fmt.Sprintf("%s/g%d", top, i))
		}
		os.Remove(top)
	}()
	for i := range *cgroups {
		if err := os.MkdirAll(fmt.Sprintf("%s/g%d/c%d", top, i%100, i), 0o755); err != nil {
			return err
		}
	}
	mount := exec.Command(*command, "mount", *base, dir, "-o", "registry="+registry)
	if out, err := mount.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	group := filepath.Join(dir, filepath.Base(top))
	rows := 1 + min(100, *cgroups) + *cgroups
	files := []*file{
		{path: group + "/cpu", lines: 2}, {path: group + "/.bpfview/tree/cpu", lines: 1 + rows},
	}
	if *idle {
		for i := range *kills {
			time.Sleep(*pause)
			if err := kill(dir); err != nil {
				return err
			}
			files[i%2].read()
		}
	} else if err := load(files, dir); err != nil {
		return err
	}
	files[0].print("file")
	files[1].print("tree")
	if len(files[0].failed)+len(files[1].failed) > 0 {
		return errors.New("reads failed")
	}
	return nil
}

// kill kills the server that serves, if it lives still.
func kill(dir string) error {
	text, err := os.ReadFile(dir + "/.bpfview/status.json")
	if err != nil {
		return err
	}
	var status struct {
		Process struct {
			Server int `json:"server_pid"`
		}
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return err
	}
	pid := status.Process.Server
	if pid <= 0 {
		return fmt.Errorf("the server's pid is %d", pid)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return err
	}
	return nil
}

func load(files []*file, dir string) error {
	done := make(chan struct{})
	var group sync.WaitGroup
	for i := range *readers {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				files[i%2].read()
			}
		})
	}
	start := time.Now()
	upgraded := 0
	var upgrading sync.WaitGroup
	upgrading.Go(func() {
		for range *upgrades {
			time.Sleep(*pause)
			out, err := exec.Command(*command, "reload", dir).CombinedOutput()
			if err != nil && !bytes.Contains(out, []byte("killed")) {
				fmt.Printf("reload: %s", out)
			} else if err == nil {
				upgraded++
			}
		}
	})
	var failed error
	for range *kills {
		time.Sleep(*pause)
		failed = errors.Join(failed, kill(dir))
	}
	upgrading.Wait()
	close(done)
	group.Wait()
	fmt.Printf("%d kills and %d upgrades in %v, %d readers, %d cgroups\n", *kills, upgraded,
		time.Since(start).Round(time.Second), *readers, *cgroups)
	return failed
}
