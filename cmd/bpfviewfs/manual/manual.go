// Package manual writes a manual page for each command, from the text and the flags that its help has.
// cobra's own generator was no alternative: mandoc finds faults in its pages, values of flags have no names
// there, and exit codes have no place.
package manual

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const section = 8

// Command is the hidden command that writes the pages of all commands to a directory. exits lists the exit
// codes.
func Command(exits string) *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "write the manual pages of all commands to a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := date()
			if err != nil {
				return err
			}
			for _, c := range Commands(cmd.Root()) {
				path := filepath.Join(args[0], fmt.Sprintf("%s.%d", name(c), section))
				if err := write(path, c, exits, at); err != nil {
					return fmt.Errorf("write a manual page: %w", err)
				}
			}
			return nil
		},
	}
}

// Commands are the commands that have a page.
func Commands(root *cobra.Command) (list []*cobra.Command) {
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			list = append(list, c)
		}
	}
	return list
}

// date is now, or SOURCE_DATE_EPOCH, which makes builds alike.
func date() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now().UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func name(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func write(path string, c *cobra.Command, exits string, at time.Time) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	Page(out, c, exits, at)
	if err := out.Flush(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// Page writes the page of a command in the language of man(7).
func Page(to io.Writer, c *cobra.Command, exits string, at time.Time) {
	fmt.Fprintf(to, ".TH %s %d %s bpfviewfs \"System Manager's Manual\"\n", strings.ToUpper(name(c)), section,
		at.Format(time.DateOnly))
	fmt.Fprintf(to, ".SH NAME\n")
	fill(to, name(c)+" - "+c.Short)
	fmt.Fprintf(to, ".SH SYNOPSIS\n")
	synopsis(to, c)
	fmt.Fprintf(to, ".SH DESCRIPTION\n")
	long := c.Long
	if long == "" {
		long = strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
	}
	paragraphs(to, long)
	flags := c.NonInheritedFlags()
	if flags.HasAvailableFlags() || c.InheritedFlags().HasAvailableFlags() {
		fmt.Fprintf(to, ".SH OPTIONS\n")
		options(to, flags)
		options(to, c.InheritedFlags())
	}
	fmt.Fprintf(to, ".SH EXIT STATUS\n")
	paragraphs(to, exits)
	if c.Example != "" {
		fmt.Fprintf(to, ".SH EXAMPLES\n.nf\n")
		for line := range strings.Lines(c.Example) {
			fmt.Fprintln(to, escape(strings.TrimSpace(line)))
		}
		fmt.Fprintf(to, ".fi\n")
	}
	fmt.Fprintf(to, ".SH SEE ALSO\n.BR bpfviewfs (8),\n.BR bpfviewfs (5)\n")
}

// synopsis has a line for the command, or one for each of its own commands.
func synopsis(to io.Writer, c *cobra.Command) {
	lines := []string{c.UseLine()}
	if c.HasAvailableSubCommands() {
		lines = nil
		for _, sub := range Commands(c) {
			lines = append(lines, sub.UseLine())
		}
	}
	for i, line := range lines {
		if i > 0 {
			fmt.Fprintln(to, ".br")
		}
		line = strings.TrimPrefix(line, c.CommandPath())
		line = strings.TrimSuffix(line, " [flags]") + " [OPTION...]"
		fmt.Fprintf(to, "\\fB%s\\fR\n", escape(c.CommandPath()))
		fill(to, line)
	}
}

func options(to io.Writer, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		fmt.Fprint(to, ".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(to, "\\fB%s\\fR, ", escape("-"+f.Shorthand))
		}
		fmt.Fprintf(to, "\\fB%s\\fR", escape("--"+f.Name))
		if value != "" {
			fmt.Fprintf(to, " \\fI%s\\fR", escape(value))
		}
		fmt.Fprintln(to)
		if def := f.DefValue; def != "" && def != "false" && def != "0" && def != "0s" && def != "[]" {
			usage += " (default: " + def + ")"
		}
		fill(to, usage)
	})
}

// paragraphs writes text. A paragraph that is indented keeps its lines.
func paragraphs(to io.Writer, text string) {
	for i, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			fmt.Fprintln(to, ".PP")
		}
		if strings.HasPrefix(p, " ") || strings.HasPrefix(p, "\t") {
			fmt.Fprintf(to, ".nf\n%s\n.fi\n", escape(strings.ReplaceAll(strings.TrimRight(p, "\n"), "\t", "    ")))
			continue
		}
		fill(to, p)
	}
}

// Fit has the help of a command and of its own commands fit a terminal of 80 columns.
func Fit(c *cobra.Command) {
	const columns = 80
	paragraphs := strings.Split(c.Long, "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, " ") && !strings.HasPrefix(p, "\t") {
			paragraphs[i] = strings.TrimRight(wrap(p, columns), "\n")
		}
	}
	c.Long = strings.Join(paragraphs, "\n\n")
	for _, sub := range c.Commands() {
		Fit(sub)
	}
	if !c.HasParent() {
		c.SetUsageTemplate(strings.ReplaceAll(c.UsageTemplate(), "Flags.FlagUsages ",
			fmt.Sprintf("Flags.FlagUsagesWrapped %d ", columns)))
	}
}

// wrap breaks text into lines of some columns.
func wrap(text string, columns int) string {
	var b strings.Builder
	width := 0
	for _, word := range strings.Fields(text) {
		switch n := utf8.RuneCountInString(word); {
		case width == 0:
			width = n
		case width+1+n > columns:
			b.WriteByte('\n')
			width = n
		default:
			b.WriteByte(' ')
			width += 1 + n
		}
		b.WriteString(word)
	}
	return b.String() + "\n"
}

// fill writes words in short lines.
func fill(to io.Writer, text string) { fmt.Fprint(to, escape(wrap(text, 70))) }

var special = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// request is a character that begins a request at the beginning of a line.
var request = regexp.MustCompile(`(?m)^([.])`)

func escape(text string) string { return request.ReplaceAllString(special.Replace(text), `\&$1`) }
