package complete

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Choice is the value of a flag that is one of a few words.
type Choice struct {
	value *string
	words []string
}

// NewChoice makes a choice. The value has the default.
func NewChoice(value *string, words ...string) *Choice { return &Choice{value, words} }

func (c *Choice) String() string { return *c.value }

// Type makes help show a value.
func (c *Choice) Type() string { return "string" }

// Set takes one of the words.
func (c *Choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("want %s", strings.Join(c.words, " or "))
	}
	*c.value = word
	return nil
}

// Complete completes the value of a flag by the words.
func (c *Choice) Complete(cmd *cobra.Command, name string) {
	fixed := cobra.FixedCompletions(c.words, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(name, fixed); err != nil {
		panic(err) // no such flag
	}
}

// ChoiceFlag gives a command a flag that is its default or another of a few words.
func ChoiceFlag(cmd *cobra.Command, name, def, usage string, others ...string) *string {
	value := def
	c := NewChoice(&value, append([]string{def}, others...)...)
	cmd.Flags().Var(c, name, usage)
	c.Complete(cmd, name)
	return &value
}
