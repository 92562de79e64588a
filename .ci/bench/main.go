// Command bench measures this program and its peers in turns, in one run, and prints one table.
//
// The peers are servers of static files made with go-fuse and with libfuse, lxcfs, BPF runs without FUSE,
// cgroupfs, and an older revision of this program. All of them run in a cgroup of the benchmark, so it can
// tell their CPU time from that of other programs and end them all at once. It needs root.
package main

import (
	"cmp"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"bpfviewfs/.ci/stage"
)

var (
	//go:embed c/static.c
	staticSource []byte
	//go:embed c/burn.bpf.o
	burnObject []byte
)

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
	chosen, err := choose(o.rows)
	fail(err)
	fail(stage.Run(func(s *stage.Stage) error { return prepare(s, o.base) }, func(s *stage.Stage) error {
		return run(o, s, chosen)
	}))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// prepare builds the older revision and the static server in C, and puts the slow view into the views
// directory.
func prepare(s *stage.Stage, base string) error {
	if base != "" {
		script := `git archive --format=tar "$1" | tar -x -C "$2" && cd "$2" && go build -o ../older ./cmd/bpfviewfs`
		source := s.Dir + "/older.src"
		err := cmp.Or(os.Mkdir(source, 0o755), stage.Command("sh", "-ec", script, "build",
			base, source))
		if err != nil {
			return fmt.Errorf("build revision %s: %w", base, err)
		}
	}
	return os.WriteFile(s.Dir+"/views/burn.bpf.o", burnObject, 0o644)
}

// compileLibfuse builds static.c.
func compileLibfuse(s *stage.Stage) error {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "fuse3").Output()
	if err != nil {
		return errors.New("no libfuse: pkg-config knows no fuse3 (Debian: libfuse3-dev)")
	}
	if err := os.WriteFile(s.Dir+"/static.c", staticSource, 0o644); err != nil {
		return err
	}
	args := []string{"-O2", "-o", s.Dir + "/static", s.Dir + "/static.c"}
	return stage.Command("cc", append(args, strings.Fields(string(flags))...)...)
}
