#!/bin/bash
# Guess:     colorprofile, the library by which terminal programs choose their colours, follows
#            NO_COLOR as its page has it: any value that is not empty turns colours off.
# Behaviour: it reads the value as a boolean. 1 and true turn them off; yes, on and x do not.
# Versions:  github.com/charmbracelet/colorprofile v0.4.3 (Go 1.26). Needs go.
# Seen:      NO_COLOR=1: Ascii
#            NO_COLOR=yes: ANSI256
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"

	"github.com/charmbracelet/colorprofile"
)

func main() {
	for _, setting := range []string{"NO_COLOR=1", "NO_COLOR=yes", "NO_COLOR=x"} {
		fmt.Printf("%s: %v\n", setting, colorprofile.Env([]string{"TERM=xterm-256color", setting}))
	}
}
END
{ go mod init colours && go get github.com/charmbracelet/colorprofile@v0.4.3 && go mod tidy && go build; } >log 2>&1
./colours | tee seen
grep -qx 'NO_COLOR=1: Ascii' seen && grep -qx 'NO_COLOR=yes: ANSI256' seen && grep -qx 'NO_COLOR=x: ANSI256' seen
