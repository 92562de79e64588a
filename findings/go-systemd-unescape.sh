#!/bin/bash
# Guess:     unit.UnitNameUnescape of go-systemd gives back what unit.UnitNameEscape was given, and
#            both agree with systemd-escape(1).
# Behaviour: a control character is escaped with one hexadecimal digit, \x9 for a tab, where systemd
#            writes two. With the letter behind it that reads as another byte: "a<tab>b" becomes
#            a\x9b. And bytes above 127, escaped as systemd does it, are not taken back: "ä" comes
#            back as the eight characters \xc3\xa4.
# Versions:  github.com/coreos/go-systemd/v22 v22.7.0 (Go 1.26); systemd 252 of Debian 12. Needs go
#            and systemd-escape.
# Seen:      "a\tb" -> a\x9b -> "a\\x9b"; systemd-escape: a\x09b
#            "ä" -> \xc3\xa4 -> "\\xc3\\xa4"; systemd-escape: \xc3\xa4
#            "a b" -> a\x20b -> "a b"; systemd-escape: a\x20b
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/unit"
)

func main() {
	escaped := unit.UnitNameEscape(os.Args[1])
	fmt.Printf("%q -> %s -> %q", os.Args[1], escaped, unit.UnitNameUnescape(escaped))
}
END
{ go mod init names && go get github.com/coreos/go-systemd/v22@v22.7.0 && go mod tidy && go build; } >log 2>&1
for name in $'a\tb' ä 'a b'; do
	echo "$(./names "$name"); systemd-escape: $(systemd-escape "$name")"
done | tee seen

diff - seen <<'END'
"a\tb" -> a\x9b -> "a\\x9b"; systemd-escape: a\x09b
"ä" -> \xc3\xa4 -> "\\xc3\\xa4"; systemd-escape: \xc3\xa4
"a b" -> a\x20b -> "a b"; systemd-escape: a\x20b
END
