#!/bin/bash
# Guess:     a message that protodelim writes is one that protodelim reads, with the options of neither
#            changed.
# Behaviour: the writer takes any size, and the reader refuses more than 4 MiB before it reads a byte of
#            it. A log of frames with one large message is written without an error and cannot be read
#            beyond it: the reader has taken the length by then, so the next call reads from the middle
#            of the message. MaxSize: -1 reads it.
# Versions:  google.golang.org/protobuf v1.36.12 (Go 1.26). Needs go.
# Seen:      written: 5242881 bytes, <nil>
#            read: too large: true
#            read without a limit: <nil>
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'SOURCE'
package main

import (
	"bytes"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	var log bytes.Buffer
	message := wrapperspb.Bytes(make([]byte, 5<<20-8))
	n, err := protodelim.MarshalTo(&log, message)
	fmt.Printf("written: %d bytes, %v\n", n, err)
	frame := log.Bytes()
	err = protodelim.UnmarshalFrom(bytes.NewReader(frame), new(wrapperspb.BytesValue))
	var large *protodelim.SizeTooLargeError
	fmt.Printf("read: too large: %v\n", errors.As(err, &large))
	unlimited := protodelim.UnmarshalOptions{MaxSize: -1}
	fmt.Printf("read without a limit: %v\n", unlimited.UnmarshalFrom(bytes.NewReader(frame), new(wrapperspb.BytesValue)))
}
SOURCE
{ go mod init frames && go get google.golang.org/protobuf@v1.36.12 && go mod tidy && go build; } >log 2>&1
./frames | tee seen
grep -q '^written: .*<nil>$' seen && grep -qx 'read: too large: true' seen &&
	grep -qx 'read without a limit: <nil>' seen
