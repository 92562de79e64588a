#!/bin/bash
# Guess:     a logrus line with a field that JSON cannot hold comes with the field left out or as text. For a
#            func it is so: the line says that the field was skipped.
# Behaviour: with a NaN (a rate of nothing by nothing), a chan or a map[any]any the whole line is lost, its
#            message and all other fields too. What goes to standard error names neither. The text
#            formatter shows all of them. A list of errors is written as [{}], without a word of them.
# Versions:  github.com/sirupsen/logrus v1.10.2 (Go 1.26). Needs go.
# Seen:      text: 4 of 4 lines
#            JSON: 2 of 4 lines, errors=[{}]
#            standard error: Failed to format entry: ... json: unsupported value: NaN
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"errors"
	"math"
	"os"

	"github.com/sirupsen/logrus"
)

func main() {
	log := logrus.New()
	log.SetOutput(os.Stdout)
	if os.Args[1] == "JSON" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	log.WithField("rate", math.NaN()).Error("the disk fails")
	log.WithField("labels", map[any]any{"disk": "sda"}).Error("the disk fails")
	log.WithField("retry", func() {}).Error("the disk fails")
	log.WithField("errors", []error{errors.New("no space")}).Error("the disk fails")
}
END
{ go mod init lines && go get github.com/sirupsen/logrus@v1.10.2 && go mod tidy && go build; } >log 2>&1
./lines text >lines.text
./lines JSON >lines.json 2>errors
echo "text: $(grep -c 'the disk fails' lines.text) of 4 lines" | tee seen
echo "JSON: $(grep -c 'the disk fails' lines.json) of 4 lines, $(sed -n 's/.*"errors":\([^,]*\).*/errors=\1/p' lines.json)" | tee -a seen
echo "standard error: $(grep NaN errors)" | tee -a seen
if grep 'disk fails' errors; then exit 1; fi

diff - seen <<'END'
text: 4 of 4 lines
JSON: 2 of 4 lines, errors=[{}]
standard error: Failed to format entry: failed to marshal fields to JSON, json: unsupported value: NaN
END
