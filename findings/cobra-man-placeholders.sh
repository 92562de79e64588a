#!/bin/bash
# Guess:     a manual page that cobra generates has the text of the command, with what roff takes
#            for itself escaped.
# Behaviour: words in angle brackets vanish, in the description and in the help of flags: "Copies
#            <file> to <dir>." becomes "Copies  to ." The text goes through a Markdown renderer,
#            which takes them for HTML. Lines that begin with a dot or an apostrophe, the usual trap
#            of roff, are escaped well. --help shows all of it.
# Versions:  github.com/spf13/cobra v1.10.2 (with go-md2man v2.0.6; Go 1.26). Needs go.
# Seen:      Copies  to \&.
#            permissions as
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"log"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func main() {
	command := &cobra.Command{
		Use:  "keep",
		Long: "Copies <file> to <dir>.\n\n.hidden files are kept, too.",
		Run:  func(*cobra.Command, []string) {},
	}
	command.Flags().String("mode", "", "permissions as <octal>")
	if len(os.Args) > 1 {
		command.SetArgs(os.Args[1:])
		if err := command.Execute(); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := doc.GenMan(command, &doc.GenManHeader{Section: "1"}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}
END
{ go mod init keep && go get github.com/spf13/cobra@v1.10.2 && go mod tidy && go build; } >log 2>&1
./keep >keep.1
./keep --help >help
grep -A1 'Copies' keep.1 | head -n 1
grep 'permissions' keep.1

grep -qx 'Copies  to \\&\.' keep.1 && ! grep -q 'octal' keep.1 && grep -q '^\\&\.hidden' keep.1 &&
	grep -q 'Copies <file> to <dir>' help && grep -q '<octal>' help
