// Command kills has readers read a mount while its servers are killed and replaced, and tells how long they
// waited. It mounts the command at -command.
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

type waits struct {
	mu     sync.Mutex
	all    []time.Duration
	failed map[string]int
}

func (w *waits) add(d time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
	if err != nil {
		if w.failed == nil {
			w.failed = map[string]int{}
		}
		w.failed[err.Error()]++
	}
}

func (w *waits) print(what string) {
	slices.Sort(w.all)
	at := func(q float64) time.Duration {
		if len(w.all) == 0 {
			return 0
		}
		return w.all[int(q*float64(len(w.all)-1))].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-5s %7d reads, median %v, p99 %v, p99.9 %v, worst %v",
		what, len(w.all), at(.5), at(.99), at(.999), at(1))
	for err, n := range w.failed {
		fmt.Printf("; %d: %s", n, err)
	}
	fmt.Println()
}

func timed(path string) (time.Duration, error) {
	start := time.Now()
	text, err := os.ReadFile(path)
	if err == nil && len(text) == 0 {
		err = errors.New("empty")
	}
	return time.Since(start), err
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
	server := func() (pid int) {
		var s struct {
			Process struct {
				Server int `json:"server_pid"`
			}
		}
		text, _ := os.ReadFile(dir + "/.bpfview/status.json")
		json.Unmarshal(text, &s)
		return s.Process.Server
	}
	group := filepath.Join(dir, filepath.Base(top))
	paths := []string{group + "/cpu", group + "/.bpfview/tree/cpu"}
	var all [2]waits
	for _, p := range paths {
		for range 3 {
			if _, err := timed(p); err != nil {
				return err
			}
		}
	}
	if *idle {
		for i := range *kills {
			time.Sleep(*pause)
			unix.Kill(server(), unix.SIGKILL)
			d, err := timed(paths[i%2])
			all[i%2].add(d, err)
		}
	} else {
		load(paths, all[:], server, dir)
	}
	all[0].print("file")
	all[1].print("tree")
	return nil
}

func load(paths []string, all []waits, server func() int, dir string) {
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
				d, err := timed(paths[i%2])
				all[i%2].add(d, err)
			}
		})
	}
	start := time.Now()
	killed, upgraded := 0, 0
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
	for range *kills {
		time.Sleep(*pause)
		if unix.Kill(server(), unix.SIGKILL) == nil {
			killed++
		}
	}
	upgrading.Wait()
	close(done)
	group.Wait()
	fmt.Printf("%d kills and %d upgrades in %v, %d readers, %d cgroups\n", killed, upgraded,
		time.Since(start).Round(time.Second), *readers, *cgroups)
}
