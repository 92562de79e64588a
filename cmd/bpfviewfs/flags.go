package main

import (
	"bpfviewfs/cmd/bpfviewfs/complete"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// optionsFlag gives a command the flag -o, for lists of a mount's options.
func optionsFlag(cmd *cobra.Command, usage string) *[]string {
	lists := cmd.Flags().StringArrayP("options", "o", nil, usage)
	if err := cmd.RegisterFlagCompletionFunc("options", complete.Options); err != nil {
		panic(err)
	}
	return lists
}

// logFlags gives all commands the flags that say how to log.
func logFlags(cmd *cobra.Command) *logOptions {
	o := logOptions{"text", "info"}
	for _, f := range []struct {
		name, usage string
		choice      *complete.Choice
	}{
		{"log-format", "log as `text` or json", complete.NewChoice(&o.format, "text", "json")},
		{"log-level", "log `level`: error, warning, info or debug",
			complete.NewChoice(&o.level, "error", "warning", "info", "debug")},
	} {
		cmd.PersistentFlags().AddFlag(&pflag.Flag{Name: f.name, Usage: f.usage, Value: f.choice,
			DefValue: f.choice.String()})
		f.choice.Complete(cmd, f.name)
	}
	return &o
}
