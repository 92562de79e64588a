//go:build race

package main

import "os"

// The command is built with the race detector if its tests are. A server's stderr leads nowhere, so it has to
// die of a race to be noticed.
func init() {
	buildFlags = append(buildFlags, "-race")
	os.Setenv("GORACE", "halt_on_error=1 "+os.Getenv("GORACE"))
}
