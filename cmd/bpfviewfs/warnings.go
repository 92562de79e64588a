package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"bpfviewfs/iter"
	"bpfviewfs/mount"
)

// warnings are the options that are accepted and do nothing, a line each: what the option is, why, and what to do.
func warnings(o mount.Options, set *iter.Set) []string {
	list := slices.Concat(o.Ignored, set.Notes())
	for _, dir := range o.Views {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			list = append(list, fmt.Sprintf("option views: %s does not exist: its views appear when somebody makes it", dir))
		}
	}
	return list
}

func printWarnings(to io.Writer, list []string) {
	for _, line := range list {
		fmt.Fprintf(to, "bpfviewfs: warning: %s\n", line)
	}
}

// checked is a writer that remembers the first error, because those who print to it do not look: a command whose output went to a full
// disk has failed.
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
