package main

import (
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/cmd/bpfviewfs/complete"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choice is the value of a flag that is one of a few words.
type choice struct {
	value *string
	words []string
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("want %s", strings.Join(c.words, " or "))
	}
	*c.value = word
	return nil
}

// choiceFlag gives a command a flag that is its default or another of a few words.
func choiceFlag(cmd *cobra.Command, name, def, usage string, others ...string) *string {
	value := new(string)
	*value = def
	words := append([]string{def}, others...)
	cmd.Flags().Var(&choice{value, words}, name, usage)
	completeFlag(cmd, name, words...)
	return value
}

// completeFlag completes the value of a flag by some words.
func completeFlag(cmd *cobra.Command, name string, words ...string) {
	fixed := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(name, fixed); err != nil {
		panic(err) // no such flag
	}
}

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
		choice      *choice
	}{
		{"log-format", "log as `text` or json", &choice{&o.format, []string{"text", "json"}}},
		{"log-level", "log `level`: error, warning, info or debug",
			&choice{&o.level, []string{"error", "warning", "info", "debug"}}},
	} {
		cmd.PersistentFlags().AddFlag(&pflag.Flag{Name: f.name, Usage: f.usage, Value: f.choice,
			DefValue: f.choice.String()})
		completeFlag(cmd, f.name, f.choice.words...)
	}
	return &o
}
