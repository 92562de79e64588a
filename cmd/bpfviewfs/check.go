package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/iter"
	"bpfviewfs/iter/cgroups"
	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE [CGROUP]",
		Short: "load an object, run it once, and show the kernel's verdict",
		Long: `Load the object NAME.bpf.o, with NAME.yaml if that is beside it, and run it once. Print its target, kind,
size and time, and advice to its author. Nothing stays in the kernel. CGROUP is as for bpfviewfs cat. The
default is the top of the hierarchy.`,
		Example: "  bpfviewfs check blocked.bpf.o system.slice/ssh.service",
		Args:    words(1, 2),

		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string,
			cobra.ShellCompDirective) {
			if len(args) == 1 {
				return complete.Cgroup(begun)
			}
			return []string{"bpf.o"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	source := sourceFlag(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := cgroups.Open(*source)
		if err != nil {
			return failed(err)
		}
		defer h.Close()
		cgroup, err := findCgroup(h, strings.Join(args[1:], ""))
		if err != nil {
			return err
		}
		reports, err := iter.Check(context.Background(), h, args[0], cgroup)
		for i, report := range reports {
			if *asJSON {
				if err := printJSON(cmd.OutOrStdout(), reportJSON(report)); err != nil {
					return err
				}
				continue
			}
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			printReport(cmd.OutOrStdout(), report)
		}
		if err != nil {
			// The author of the view needs the verifier's whole log.
			if log := strings.TrimPrefix(fmt.Sprintf("%+v", err), err.Error()); log != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), strings.TrimSpace(log))
			}
			return failed(err)
		}
		return nil
	}
	return cmd
}

// reportJSON is a report as JSON shows it. Absent values are left out.
func reportJSON(r *iter.Report) any {
	j := struct {
		View     string          `json:"view"`
		Target   string          `json:"target"`
		Kind     string          `json:"kind"`
		Attached []string        `json:"attached,omitempty"`
		RootOnly string          `json:"root_only,omitempty"`
		Verifier string          `json:"verifier"`
		Usec     int64           `json:"run_usec"`
		Bytes    int             `json:"bytes"`
		Limit    int             `json:"limit_bytes,omitempty"`
		Lint     []string        `json:"consider,omitempty"`
		Schema   json.RawMessage `json:"schema,omitempty"`
		Output   []byte          `json:"output_base64"`
	}{r.Name, r.Target, r.Kind, r.Attached, r.RootOnly, r.Verifier, r.Took.Microseconds(), r.Bytes,
		r.Limit, r.Lint, r.Schema, r.Output}
	return j
}

func printReport(out io.Writer, r *iter.Report) {
	line := func(what, format string, words ...any) {
		fmt.Fprintf(out, "%-10s"+format+"\n", append([]any{what}, words...)...)
	}
	line("view", "%s", r.Name)
	line("iterates", "%s", r.Target)
	line("writes", "%s", r.Kind)
	if len(r.Attached) > 0 {
		line("attaches", "%s (so it is off until it is enabled)", strings.Join(r.Attached, ", "))
	}
	if r.RootOnly != "" {
		line("where", "in the root's directory only: %s", r.RootOnly)
	}
	line("verifier", "%s", r.Verifier)
	line("one run", "%v", r.Took.Round(time.Microsecond))
	if r.Limit > 0 {
		line("bytes", "%d of at most %d", r.Bytes, r.Limit)
	} else {
		line("bytes", "%d", r.Bytes)
	}
	for _, found := range r.Lint {
		line("consider", "%s", found)
	}
	if r.Schema != nil {
		fmt.Fprintf(out, "\n%s", r.Schema)
	}
	const lines = 10
	shown := strings.SplitAfterN(string(r.Output), "\n", lines+1)
	if r.Kind == "encoded" {
		return
	}
	fmt.Fprintln(out)
	for _, text := range shown[:min(lines, len(shown))] {
		io.WriteString(out, text)
	}
	if len(shown) > lines && shown[lines] != "" {
		fmt.Fprintln(out, "...")
	}
}
