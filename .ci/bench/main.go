// Command bench measures this program and its peers in turns, in one run, and prints one table.
//
// The peers are servers of static files made with go-fuse and with libfuse, lxcfs, BPF runs without FUSE,
// cgroupfs, and an older revision of this program. All of them run in a cgroup of the benchmark, so it can
// tell their CPU time from that of other programs and end them all at once. It needs root.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVar names the run's directory in the environment of the process that measures. Its parent cleans up
// after it.
const insideVar = "BPFVIEWFS_BENCH"

type options struct {
	base, rows, json, docs, lock string
	quick, all                   bool
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "stock" {
		fail(serveStock(os.Args[2], os.Args[3], os.Args[4]))
		return
	}
	var o options
	flag.StringVar(&o.base, "base", "", "build this `revision`, too, and measure it beside")
	flag.StringVar(&o.rows, "rows", "", "measure these rows alone: `NAME,NAME...`; help lists them")
	flag.BoolVar(&o.quick, "quick", false, "take less than a minute, with small trees and few rounds")
	flag.BoolVar(&o.all, "all", false, "fail if a peer is missing")
	flag.StringVar(&o.json, "json", "bench.json", "write all figures to this `file`")
	flag.StringVar(&o.docs, "docs", "", "update performance.md and performance.svg in this `directory`")
	flag.StringVar(&o.lock, "lock", "", "hold this `file`'s lock (flock) while a row is measured")
	flag.Parse()
	if o.rows == "help" {
		for _, r := range rows {
			fmt.Printf("%-12s %s\n", r.name, r.title)
		}
		return
	}
	if os.Geteuid() != 0 {
		fail(errors.New("bench: needs root, to mount and to run BPF programs"))
	}
	if inside := os.Getenv(insideVar); inside != "" {
		fail(run(o, openPlace(inside)))
		return
	}
	fail(supervise(o.base))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// supervise runs this program again, in a new cgroup, and cleans up when that process ends or a signal
// comes.
func supervise(base string) (err error) {
	p, err := newPlace()
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, p.remove()) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := build(p, base); err != nil {
		return err
	}
	group, err := p.group("bench")
	if err != nil {
		return err
	}
	defer group.Close()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"="+p.name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true, CgroupFD: int(group.Fd()), Pdeathsig: unix.SIGKILL, Setpgid: true,
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return nil
	case s := <-signals:
		p.kill()
		<-ended
		return fmt.Errorf("bench: ended by a signal: %s", s)
	}
}

// build compiles the program, the older revision of it, and the peers in C.
func build(p *place, base string) error {
	if err := p.writeFiles(); err != nil {
		return err
	}
	if err := command("go", "build", "-o", p.dir+"/ours", "./cmd/bpfviewfs"); err != nil {
		return err
	}
	if base != "" {
		script := `git archive --format=tar "$1" | tar -x -C "$2" && cd "$2" && go build -o ../base ./cmd/bpfviewfs`
		os.Mkdir(p.dir+"/base.src", 0o755)
		if err := command("sh", "-ec", script, "build", base, p.dir+"/base.src"); err != nil {
			return fmt.Errorf("build revision %s: %w", base, err)
		}
	}
	if err := command("cc", "-O2", "-pthread", "-o", p.dir+"/client", p.dir+"/client.c"); err != nil {
		return fmt.Errorf("the clients are C programs: %w", err)
	}
	return nil
}

// command runs a program. If that fails, the error has its output.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
