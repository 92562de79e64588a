package main

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"slices"

	"bpfviewfs/cmd/bpfviewfs/journal"
	"bpfviewfs/iter"
	"bpfviewfs/mount"
)

// warnings returns a line for each option that is accepted and does nothing. It has the option, the reason
// and the remedy.
func warnings(o mount.Options, set *iter.Set) []string {
	list := slices.Concat(o.Ignored, set.Notes())
	for _, dir := range o.Views {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			list = append(list, fmt.Sprintf("option views: %s does not exist: its views appear when it is made", dir))
		}
	}
	return list
}

func printWarnings(to io.Writer, list []string) {
	for _, line := range list {
		fmt.Fprintf(to, "%sbpfviewfs: warning: %s\n", journal.Priority(syslog.LOG_WARNING), line)
	}
}

// checked is a writer that remembers the first error, because callers print to it without a check. For
// example, a command fails if its output went to a full disk.
type checked struct {
	io.Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("print: %w", err)
	}
	return n, err
}
