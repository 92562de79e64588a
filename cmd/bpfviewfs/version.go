package main

import (
	"fmt"
	"runtime"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "print the version",
		Args:              words(0, 0),
		ValidArgsFunction: complete.NoWords,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), struct {
				Version string `json:"version"`
				Go      string `json:"go"`
			}{version, runtime.Version()})
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "bpfviewfs", version)
		return err
	}
	return cmd
}
