package main

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

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/cmd/bpfviewfs/explain"
	"bpfviewfs/cmd/bpfviewfs/metrics"
	"bpfviewfs/cmd/bpfviewfs/units"
	"bpfviewfs/fs"
	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
	"bpfviewfs/mount/wire"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [DIR]",
		Short: "show the mounts, their servers, and how much was read from them",
		Long: `Show the mount at DIR, or all mounts, with the start of service and the number of restarts. For each view
come the runs, errors and time. Root also sees the processes, and the users with the most memory in open
files.`,
		Args:              words(0, 1),
		ValidArgsFunction: complete.Mount,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		mounts, err := place.List()
		if err != nil {
			return failed(err)
		}
		if len(args) == 1 {
			at, err := place.Find(args[0])
			if err != nil {
				return failed(fmt.Errorf("status of %s: %w", args[0], err))
			}
			mounts = []place.Info{at}
		}
		if len(mounts) == 0 {
			return failed(errors.New("no bpfviewfs is mounted: mount one with bpfviewfs mount DIR"))
		}
		var ill error
		for i, at := range mounts {
			s := readStatus(at)
			if s.Error != "" {
				ill = exit.With(exit.System,
					fmt.Errorf("the mount at %s: %s", s.Target, s.Error))
			}
			if *asJSON {
				err = printJSON(cmd.OutOrStdout(), s)
			} else {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				err = s.print(cmd.OutOrStdout(), time.Now())
			}
			if err != nil {
				return err
			}
		}
		return ill
	}
	return cmd
}

// mountStatus is the state of a mount.
type mountStatus struct {
	Target string         `json:"target"`
	Source string         `json:"source"`
	Error  string         `json:"error,omitempty"`
	Server *serverStats   `json:"server,omitempty"` // for root, and the owner of the root directory
	Views  []metrics.View `json:"views"`
}

// serverStats is the mount's status.json.
type serverStats struct {
	Version  string      `json:"version"`
	Files    int         `json:"open_files"`
	Held     int64       `json:"held_bytes"`
	Holders  []fs.Holder `json:"holders"`
	Process  wire.Status `json:"process"`
	Warnings []string    `json:"warnings"`
}

func readStatus(at place.Info) (s mountStatus) {
	s = mountStatus{Target: at.Target, Source: at.Source, Views: []metrics.View{}}
	read := func(name string) ([]byte, error) {
		return explain.Patiently(func() ([]byte, error) {
			return os.ReadFile(filepath.Join(at.Target, ".bpfview", name))
		})
	}
	text, err := read("metrics")
	switch {
	case errors.Is(err, unix.ENOENT): // a bind mount of a directory below
	case errors.Is(err, unix.ENOTCONN):
		s.Error = "it is dead, because its keeper was killed: bpfviewfs umount " + at.Target
	case err != nil:
		s.Error = err.Error()
	default:
		if s.Views, err = metrics.Parse(text); err != nil {
			s.Error = err.Error()
		}
	}
	if text, err := read("status.json"); err == nil {
		s.Server = new(serverStats)
		if err := json.Unmarshal(text, s.Server); err != nil {
			s.Error = err.Error()
		}
	}
	return s
}

func (s mountStatus) print(to io.Writer, now time.Time) error {
	out := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintf(out, "%s shows %s\n", s.Target, s.Source)
	if s.Error != "" {
		fmt.Fprintf(out, "  error\t%s\n", s.Error)
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
