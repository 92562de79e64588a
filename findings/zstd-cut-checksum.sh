#!/bin/bash
# Guess:     the two ways to decode a frame of zstd in klauspost/compress give the same bytes for
#            the same input, also for one whose last byte is missing.
# Behaviour: of a frame that lacks a byte of its check sum, DecodeAll gives all of the content
#            beside the error, and the streaming reader gives the error and not one byte, though the
#            block was whole. A program that saves what it can of a file that was cut off gets
#            everything with one and nothing with the other.
# Versions:  github.com/klauspost/compress v1.20.4 (Go 1.26). Needs go.
# Seen:      DecodeAll: 12000 bytes, unexpected EOF
#            reader: 0 bytes, unexpected EOF
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"

	"github.com/klauspost/compress/zstd"
)

func main() {
	var frame bytes.Buffer
	w, err := zstd.NewWriter(&frame, zstd.WithEncoderCRC(true))
	if err == nil {
		_, err = w.Write(bytes.Repeat([]byte("hello world "), 1000))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		log.Fatal(err)
	}
	cut := frame.Bytes()[:frame.Len()-1]
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		log.Fatal(err)
	}
	content, err := decoder.DecodeAll(cut, nil)
	fmt.Printf("DecodeAll: %d bytes, %v\n", len(content), err)
	if decoder, err = zstd.NewReader(bytes.NewReader(cut)); err != nil {
		log.Fatal(err)
	}
	content, err = io.ReadAll(decoder)
	fmt.Printf("reader: %d bytes, %v\n", len(content), err)
}
END
{ go mod init frames && go get github.com/klauspost/compress@v1.20.4 && go mod tidy && go build; } >log 2>&1
./frames | tee seen
grep -qx 'DecodeAll: 12000 bytes, unexpected EOF' seen && grep -qx 'reader: 0 bytes, unexpected EOF' seen
