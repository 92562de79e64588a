#!/bin/bash
# Guess:     sigs.k8s.io/yaml's UnmarshalStrict, made for manifests, refuses a key that the API does
#            not have.
# Behaviour: it refuses unknown keys, but takes a known one in any case: hostpath and PATH set
#            hostPath and path. An API server tells them apart, so a manifest that passes a check
#            made with this loses its volume or is refused there.
# Versions:  sigs.k8s.io/yaml v1.6.0 (Go 1.26). Needs go.
# Seen:      hostpath: {PATH: /run}: /run <nil>
#            hostpaths: {path: /run}: json: unknown field "hostpaths"
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

type volume struct {
	HostPath struct {
		Path string `json:"path"`
	} `json:"hostPath"`
}

func main() {
	for _, text := range []string{"hostpath: {PATH: /run}", "hostpaths: {path: /run}"} {
		var v volume
		err := yaml.UnmarshalStrict([]byte(text), &v)
		fmt.Println(text+":", v.HostPath.Path, err)
	}
}
END
{ go mod init manifests && go get sigs.k8s.io/yaml@v1.6.0 && go mod tidy && go build; } >log 2>&1
./manifests | tee seen
grep -qx 'hostpath: {PATH: /run}: /run <nil>' seen && grep -q 'unknown field "hostpaths"' seen
