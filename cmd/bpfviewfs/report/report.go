// Package report reads the state of a mount out of its files, as any program could, and shows it to people.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"bpfviewfs/cmd/bpfviewfs/explain"
	"bpfviewfs/cmd/bpfviewfs/metrics"
	"bpfviewfs/cmd/bpfviewfs/units"
	"bpfviewfs/internal/plain"
	"golang.org/x/sys/unix"
)

// Mount is the state of a mount.
type Mount struct {
	Target string         `json:"target"`
	Source string         `json:"source"`
	Error  string         `json:"error,omitempty"`
	Server *Server        `json:"server,omitempty"` // for root, and the owner of the root directory
	Views  []metrics.View `json:"views"`
}

// Server is the mount's status.json.
type Server struct {
	Version  string   `json:"version"`
	Files    int      `json:"open_files"`
	Held     int64    `json:"held_bytes"`
	Holders  []Holder `json:"holders"`
	Process  Process  `json:"process"`
	Warnings []string `json:"warnings"`
}

// Process is the part of status.json about the processes of the mount.
type Process struct {
	Keeper   int       `json:"keeper_pid"`
	Server   int       `json:"server_pid"`
	Mounted  time.Time `json:"mounted"`
	Serving  time.Time `json:"serving"`
	Restarts int       `json:"restarts"`
	Reloads  int       `json:"reloads"`
}

// Holder is a user whose open files and directories hold memory.
type Holder struct {
	UID     uint32 `json:"uid"`
	Files   int64  `json:"open_files"`
	Held    int64  `json:"held_bytes"`
	Running int    `json:"runs"`         // under way
	Waiting int    `json:"waiting_runs"` // for their turn
}

// Read finds the state of the mount at target.
func Read(target, source string) (s Mount) {
	s = Mount{Target: target, Source: source, Views: []metrics.View{}}
	read := func(name string) ([]byte, error) {
		return explain.Patiently(func() ([]byte, error) {
			return os.ReadFile(filepath.Join(target, ".bpfview", name))
		})
	}
	text, err := read("metrics")
	switch {
	case errors.Is(err, unix.ENOENT): // a bind mount of a directory below
	case errors.Is(err, unix.ENOTCONN):
		s.Error = "it is dead, because its keeper was killed: bpfviewfs umount " + target
	case err != nil:
		s.Error = err.Error()
	default:
		if s.Views, err = metrics.Parse(text); err != nil {
			s.Error = err.Error()
		}
	}
	if text, err := read("status.json"); err == nil {
		s.Server = new(Server)
		if err := json.Unmarshal(text, s.Server); err != nil {
			s.Error = err.Error()
		}
	}
	return s
}

// Print prints it for people.
func (s Mount) Print(to io.Writer, now time.Time) error {
	out := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0) // which takes the byte 0xff for its own
	fmt.Fprintf(out, "%s shows %s\n", plain.Text(s.Target), plain.Text(s.Source))
	if s.Error != "" {
		fmt.Fprintf(out, "  error\t%s\n", plain.Text(s.Error))
	}
	if p := s.Server; p != nil {
		fmt.Fprintf(out, "  version\t%s\n", p.Version)
		fmt.Fprintf(out, "  mounted\t%s ago, by keeper process %d\n",
			units.Duration(now.Sub(p.Process.Mounted)), p.Process.Keeper)
		fmt.Fprintf(out, "  served\tfor %s, by process %d, after %d restarts and %d reloads\n",
			units.Duration(now.Sub(p.Process.Serving)), p.Process.Server, p.Process.Restarts,
			p.Process.Reloads)
		var runs uint64
		var failed float64
		for _, v := range s.Views {
			runs, failed = runs+v.Runs, failed+v.Failures
		}
		fmt.Fprintf(out, "  read\t%d runs, %.0f failed\n", runs, failed)
		fmt.Fprintf(out, "  open\t%d files, which hold %s\n", p.Files, units.Bytes(float64(p.Held)))
		for _, h := range p.Holders {
			fmt.Fprintf(out, "  \tuser %s: %d files, %s, %d runs under way, %d waiting\n",
				userName(h.UID), h.Files, units.Bytes(float64(h.Held)), h.Running, h.Waiting)
		}
		for _, w := range p.Warnings {
			fmt.Fprintf(out, "  warning\t%s\n", w)
		}
	} else if s.Error == "" {
		fmt.Fprintf(out, "  server\tonly root sees its status.json\n")
	}
	if err := out.Flush(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(to, 0, 8, 2, ' ', tabwriter.AlignRight)
	shown := false
	for _, v := range s.Views {
		if v.Runs == 0 {
			continue
		}
		if !shown {
			fmt.Fprintf(table, "VIEW\tRUNS\tFAILED\tMEAN\tALL\tBYTES\t\n")
		}
		shown = true
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%s\t%s\t%s\t\n", v.View, v.Runs, v.Failures,
			units.Seconds(v.Seconds/float64(v.Runs)), units.Seconds(v.Seconds),
			units.Bytes(v.Bytes))
	}
	return table.Flush()
}

func userName(uid uint32) string {
	number := strconv.Itoa(int(uid))
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}
