package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"bpfviewfs/fs"
	"bpfviewfs/fs/table"
	"bpfviewfs/internal/plain"
	"bpfviewfs/iter"
	"github.com/spf13/cobra"
)

func viewsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "views",
		Short: "list the views, and why those that are absent are",
		Long: `List the views as a mount with these options would have them, as the file .bpfview/views does. STATE is
here, off (not enabled), or absent. If it is not here, ABOUT has the reason.`,
		Args:              words(0, 0),
		ValidArgsFunction: complete.NoWords,
	}
	open := look(cmd)
	long := cmd.Flags().Bool("long", false, "print the verifier's whole log for absent views")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		src, err := open()
		if err != nil {
			return err
		}
		defer src.Close()
		if *asJSON {
			for _, v := range src.set.Views() {
				if err := printJSON(cmd.OutOrStdout(), describe(v, *long)); err != nil {
					return err
				}
			}
			return nil
		}
		var rows []table.Row
		for _, v := range src.set.Views() {
			d := describe(v, *long)
			about := d.About
			if d.Why != "" {
				about = d.Why
			}
			rows = append(rows, table.Row{Name: fs.ShownName(d.View), Presence: d.Presence, Kind: d.Kind,
				Version: d.Version, Hash: d.Hash, About: about})
		}
		_, err = cmd.OutOrStdout().Write(table.Append(nil, rows))
		return err
	}
	return cmd
}

// description is a view in JSON.
type description struct {
	View     string `json:"view"`
	Presence string `json:"state"`
	Kind     string `json:"kind,omitempty"`
	Version  int    `json:"version,omitempty"`
	Hash     string `json:"hash,omitempty"`
	About    string `json:"about,omitempty"`
	Source   string `json:"source"`
	Why      string `json:"why,omitempty"` // it is not here
	Warning  string `json:"warning,omitempty"`
}

// describe describes a view. If long is set, the reason why it is absent has the verifier's whole log.
func describe(v *iter.View, long bool) description {
	d := description{
		View: v.Name(), Presence: table.Presence(v.Err(), v.Off()), Kind: v.Kind(), Version: v.Version(),
		Hash:  v.Hash(),
		About: v.Help(), Source: v.Source(), Warning: v.Warning(),
	}
	if err := v.Err(); err != nil {
		d.Why = err.Error()
		if long {
			d.Why = fmt.Sprintf("%+v", err)
		}
	}
	return d
}

func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON")
}

// printJSON prints a value on a line of its own.
func printJSON(to io.Writer, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := to.Write(plain.JSON(text.Bytes()))
	return err
}
