#!/bin/bash
# Guess:     a YAML scalar that is decoded into a string field of Go is the text of the file, with goccy/go-yaml
#            as with yaml.v3, which it is meant to replace.
# Behaviour: goccy/go-yaml first makes a number of what looks like one, and then a string of the number: a
#            version 1.10 becomes "1.1", a mode 0644 becomes "420", 1_000 becomes "1000", and 1e3 stays. There
#            is no error, in strict mode neither. A change of library gives other settings for the same
#            file. Quotes help.
# Versions:  github.com/goccy/go-yaml v1.19.2, go.yaml.in/yaml/v3 v3.0.6 (Go 1.26). Needs go.
# Seen:      1.10: goccy "1.1" <nil>, yaml.v3 "1.10" <nil>
#            0644: goccy "420" <nil>, yaml.v3 "0644" <nil>
#            0x1F: goccy "31" <nil>, yaml.v3 "0x1F" <nil>
#            1_000: goccy "1000" <nil>, yaml.v3 "1_000" <nil>
#            1e3: goccy "1e3" <nil>, yaml.v3 "1e3" <nil>
#            "1.10": goccy "1.10" <nil>, yaml.v3 "1.10" <nil>
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"

	goccy "github.com/goccy/go-yaml"
	"go.yaml.in/yaml/v3"
)

type settings struct {
	Value string `yaml:"value"`
}

func main() {
	for _, text := range []string{"1.10", "0644", "0x1F", "1_000", "1e3", `"1.10"`} {
		var first, second settings
		file := []byte("value: " + text + "\n")
		errFirst := goccy.UnmarshalWithOptions(file, &first, goccy.Strict())
		errSecond := yaml.Unmarshal(file, &second)
		fmt.Printf("%s: goccy %q %v, yaml.v3 %q %v\n", text, first.Value, errFirst, second.Value, errSecond)
	}
}
END
{
	go mod init settings && go get github.com/goccy/go-yaml@v1.19.2 go.yaml.in/yaml/v3@v3.0.6
	go mod tidy && go build
} >log 2>&1
./settings | tee seen

diff - seen <<'END'
1.10: goccy "1.1" <nil>, yaml.v3 "1.10" <nil>
0644: goccy "420" <nil>, yaml.v3 "0644" <nil>
0x1F: goccy "31" <nil>, yaml.v3 "0x1F" <nil>
1_000: goccy "1000" <nil>, yaml.v3 "1_000" <nil>
1e3: goccy "1e3" <nil>, yaml.v3 "1e3" <nil>
"1.10": goccy "1.10" <nil>, yaml.v3 "1.10" <nil>
END
