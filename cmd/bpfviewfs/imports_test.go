package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bpfviewfs/internal/testenv"
)

// TestImports holds the import rules of ARCHITECTURE.md.
func TestImports(t *testing.T) {
	testenv.Needs(t, "go")
	const (
		fuse   = "github.com/hanwen/go-fuse"
		bpf    = "github.com/cilium/ebpf"
		logrus = "github.com/sirupsen/logrus"
		cobra  = "github.com/spf13/cobra"
		reader = "bpfviewfs/iter/raw" // imports nothing, so that anybody can import it
	)
	const (
		room   = "a room of fs, iter or mount imports only what is below it"
		people = "a room of cmd is told what it needs"
	)
	person := map[string]string{
		"bpfviewfs/iter": people, "bpfviewfs/fs": people, "bpfviewfs/mount": people,
		"bpfviewfs/bpf": people,
		fuse:            people, bpf: people, logrus: people, cobra: people,
	}
	for pkg, banned := range map[string]map[string]string{
		"cmd/bpfviewfs/units": person, "cmd/bpfviewfs/doctor": person,
		"cmd/bpfviewfs/explain": person, "cmd/bpfviewfs/report": person,
		"cmd/bpfviewfs/show":     person,
		"cmd/bpfviewfs/exporter": person, "cmd/bpfviewfs/top": person,
		"cmd/bpfviewfs/csi": person, "cmd/bpfviewfs/example": person, "cmd/bpfviewfs/samples": person,
		"cmd/bpfviewfs/recording": person, "cmd/bpfviewfs/replay": person,
		"cmd/bpfviewfs/labels": {"bpfviewfs/": "a path is text", fuse: people, bpf: people,
			logrus: people,
			cobra:  people},
		"cmd/bpfviewfs/memory": person, "cmd/bpfviewfs/resolve": person,
		"cmd/bpfviewfs/manual": {"bpfviewfs/": "commands are text and flags", fuse: people, bpf: people,
			logrus: people},
		"fs": {
			bpf: "fs shows, it runs nothing", "bpfviewfs/iter": "leaves import no leaf",
			"bpfviewfs/mount": "leaves import no leaf",
			"bpfviewfs/bpf":   "leaves import no leaf",
			logrus:            "libraries return errors", cobra: "only cmd talks to people",
		},
		"fs/limits": {"bpfviewfs/": "fs tells it who reads", fuse: "it counts", bpf: "it counts",
			logrus: "libraries return errors", cobra: "only cmd talks to people"},
		"fs/buffers": {"bpfviewfs/fs/limits": room, "bpfviewfs/fs/told": room, "bpfviewfs/fs/rights": room, fuse: "it is memory",
			bpf: "it is memory", logrus: room, cobra: room},
		"fs/told":     {"bpfviewfs/": room, bpf: "fs shows, it runs nothing", logrus: room, cobra: room},
		"fs/table":    {"bpfviewfs/": room, fuse: "it is text", bpf: "it is text", logrus: room, cobra: room},
		"fs/errorlog": {"bpfviewfs/": room, fuse: "it is text", bpf: "it is text", logrus: room, cobra: room},
		"fs/listing":  {"bpfviewfs/": room, bpf: "fs shows, it runs nothing", logrus: room, cobra: room},
		"fs/rights":   {"bpfviewfs/": "processes alone", fuse: "processes alone", bpf: room, logrus: room, cobra: room},
		"fs/openfiles": {"bpfviewfs/": "it is memory", fuse: "it is memory", bpf: "it is memory",
			logrus: "libraries return errors", cobra: "only cmd talks to people"},
		"iter": {
			fuse: "iter runs, it shows nothing", "bpfviewfs/fs": "leaves import no leaf",
			"bpfviewfs/mount": "leaves import no leaf",
			"bpfviewfs/bpf":   "objects are handed to it",
			logrus:            "libraries return errors", cobra: "only cmd talks to people",
		},
		"iter/records": {
			"bpfviewfs/iter/cgroups": room, "bpfviewfs/iter/join": room, "bpfviewfs/iter/links": room,
			"bpfviewfs/iter/programs": room, "bpfviewfs/iter/requests": room,
			"bpfviewfs/iter/runs": room, "bpfviewfs/iter/sources": room, "bpfviewfs/iter/state": room,
			"bpfviewfs/bpf": room, "bpfviewfs/fs": room, "bpfviewfs/mount": room,
			bpf + "/link": "records are bytes and types", fuse: room, logrus: room, cobra: room,
		},
		"iter/trees": {"bpfviewfs/": room, bpf: "names and numbers alone", fuse: room, logrus: room,
			cobra: room},
		"iter/runs": {
			"bpfviewfs/iter/programs": room, "bpfviewfs/iter/sources": room,
			"bpfviewfs/iter/state": room, "bpfviewfs/bpf": "objects are handed to it",
			fuse: room, logrus: room, cobra: room,
		},
		"iter/sources": {"bpfviewfs/": room, bpf: "sources are files", fuse: room, logrus: room,
			cobra: room},
		"iter/programs": {
			"bpfviewfs/iter/cgroups": room, "bpfviewfs/iter/runs": room,
			"bpfviewfs/iter/sources": room, "bpfviewfs/iter/state": room,
			"bpfviewfs/bpf": "objects are handed to it", fuse: room, logrus: room, cobra: room,
		},
		"iter/state": {
			"bpfviewfs/iter/cgroups": room, "bpfviewfs/iter/runs": room,
			"bpfviewfs/iter/sources": room,
			"bpfviewfs/bpf":          "objects are handed to it", fuse: room, logrus: room,
			cobra: room,
		},
		"iter/join": {"bpfviewfs/": room, fuse: room, logrus: room, cobra: room},
		"iter/raw": {"bpfviewfs/": "it is for programs of others", bpf: "bytes alone", fuse: room,
			logrus: room, cobra: room},
		"iter/requests": {"bpfviewfs/": room, fuse: room, logrus: room, cobra: room},
		"iter/links":    {"bpfviewfs/": room, fuse: room, logrus: room, cobra: room},
		"iter/cgroups": {"bpfviewfs/": room, bpf: "the hierarchy is there without BPF", fuse: room,
			logrus: room, cobra: room},
		"mount": {
			bpf: "mount keeps it mounted", "bpfviewfs/fs": "leaves import no leaf",
			"bpfviewfs/iter": "leaves import no leaf",
			"bpfviewfs/bpf":  "leaves import no leaf",
			fuse:             "a keeper answers no request", "bpfviewfs/mount/server": "a keeper starts it",
			logrus: "libraries take a log function", cobra: "only cmd talks to people",
		},
		"mount/server": {
			"bpfviewfs/fs": "leaves import no leaf", "bpfviewfs/iter": "leaves import no leaf",
			"bpfviewfs/bpf": "leaves import no leaf", bpf: "mount keeps it mounted",
			logrus: "libraries take a log function", cobra: "only cmd talks to people",
		},
		"mount/exit": {"bpfviewfs/": room, fuse: room, bpf: room, logrus: room, cobra: room},
		"mount/wire": {
			"bpfviewfs/mount/place": room, "bpfviewfs/mount/handoff": room, "bpfviewfs/mount/server": room,
			"bpfviewfs/fs": room, "bpfviewfs/iter": room, "bpfviewfs/bpf": room,
			fuse: room, bpf: room, logrus: room, cobra: room,
		},
		"mount/handoff": {
			"bpfviewfs/mount/wire": room, "bpfviewfs/mount/server": room,
			"bpfviewfs/fs": room, "bpfviewfs/iter": room, "bpfviewfs/bpf": room,
			fuse: room, bpf: room, logrus: room, cobra: room,
		},
		"mount/place": {
			"bpfviewfs/mount/wire": room, "bpfviewfs/mount/handoff": room, "bpfviewfs/mount/server": room, "bpfviewfs/fs": room,
			"bpfviewfs/iter": room, "bpfviewfs/bpf": room,
			fuse: "a mount is taken away whether or not its server lives", bpf: room, logrus: room, cobra: room,
		},
		"bpf": {
			bpf: "bpf holds objects", fuse: "bpf holds objects",
			"bpfviewfs/": "leaves import no leaf", logrus: "bpf holds objects",
			cobra: "bpf holds objects",
		},
	} {
		out, err := exec.Command("go", "list", "-deps", "bpfviewfs/"+pkg).Output()
		if err != nil {
			t.Fatalf("go list %s: %v", pkg, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			for ban, why := range banned {
				if strings.HasPrefix(dep, ban) && dep != "bpfviewfs/"+pkg &&
					!strings.HasPrefix(dep, "bpfviewfs/internal/") && dep != reader {
					t.Errorf("%s imports %s: %s", pkg, dep, why)
				}
			}
		}
	}
}

// TestPackagesAreSmall holds that a package can be read in an afternoon, and that ARCHITECTURE.md lists it.
func TestPackagesAreSmall(t *testing.T) {
	const maxFiles, maxLines = 25, 2700 // without tests
	files, lines := make(map[string]int), make(map[string]int)
	err := filepath.WalkDir("../..", func(path string, e os.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".."):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		files[filepath.Dir(path)]++
		lines[filepath.Dir(path)] += bytes.Count(text, []byte{'\n'})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	house := read(t, "../../ARCHITECTURE.md")
	for dir := range files {
		if files[dir] > maxFiles || lines[dir] > maxLines {
			t.Errorf("%s has %d files of %d lines: at most %d and %d",
				dir, files[dir], lines[dir], maxFiles, maxLines)
		}
		if !regexp.MustCompile(`(?m)^ +(cmd/)?` + filepath.Base(dir) + `/ `).MatchString(house) {
			t.Errorf("ARCHITECTURE.md does not list %s", dir)
		}
	}
}
