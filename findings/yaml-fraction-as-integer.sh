#!/bin/bash
# Guess:     decoding "retries: 1.9" into an int is an error, as it is in encoding/json, at the latest when
#            unknown keys are errors as well.
# Behaviour: yaml.v3 and goccy/go-yaml cut the fraction off and give no error: 1.9 is 1, and .5 is 0, which in
#            many settings means "never" or "no limit". yaml.v3 takes -0.5 for an unsigned 0 as well. yaml/v4
#            refuses all of them, so an upgrade finds files that were read wrongly for years.
# Versions:  go.yaml.in/yaml/v3 v3.0.6, go.yaml.in/yaml/v4 v4.0.0, github.com/goccy/go-yaml v1.19.2
#            (Go 1.26). Needs go.
# Seen:      int 1.9: yaml.v3 1, goccy 1, yaml/v4 refused
#            int .5: yaml.v3 0, goccy 0, yaml/v4 refused
#            uint -0.5: yaml.v3 0, goccy refused, yaml/v4 refused
#            int 300000000000000000000: yaml.v3 refused, goccy refused, yaml/v4 refused
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"
	v3 "go.yaml.in/yaml/v3"
	v4 "go.yaml.in/yaml/v4"
)

func strict(file []byte, to any) error {
	decoder := v3.NewDecoder(bytes.NewReader(file))
	decoder.KnownFields(true)
	return decoder.Decode(to)
}

func got[T any](file string, decode func([]byte, any) error) string {
	var settings struct {
		Retries T `yaml:"retries"`
	}
	if decode([]byte(file), &settings) != nil {
		return "refused"
	}
	return fmt.Sprint(settings.Retries)
}

func show[T any](text string) {
	file := "retries: " + text + "\n"
	fmt.Printf("%T %s: yaml.v3 %s, goccy %s, yaml/v4 %s\n", *new(T), text, got[T](file, strict), got[T](file, yaml.Unmarshal),
		got[T](file, func(file []byte, to any) error { return v4.Unmarshal(file, to) }))
}

func main() {
	show[int]("1.9")
	show[int](".5")
	show[uint]("-0.5")
	show[int]("300000000000000000000")
}
END
{
	go mod init fraction
	go get go.yaml.in/yaml/v3@v3.0.6 go.yaml.in/yaml/v4@v4.0.0 github.com/goccy/go-yaml@v1.19.2
	go mod tidy && go build
} >log 2>&1
./fraction | tee seen

diff - seen <<'END'
int 1.9: yaml.v3 1, goccy 1, yaml/v4 refused
int .5: yaml.v3 0, goccy 0, yaml/v4 refused
uint -0.5: yaml.v3 0, goccy refused, yaml/v4 refused
int 300000000000000000000: yaml.v3 refused, goccy refused, yaml/v4 refused
END
