package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// writeBill lists the modules that are linked into the command, and Go's own library.
func (c *command) writeBill(out io.Writer) error {
	program, err := os.ReadFile(c.path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(program)
	self := c.module(c.info.Main.Path, c.version, "")
	self.Type, self.Name = cdx.ComponentTypeApplication, "bpfviewfs"
	self.Description = "files of BPF iterators beside cgroupfs"
	self.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	self.Licenses = &cdx.Licenses{{Expression: "Apache-2.0"}}
	objects := cdx.Component{
		BOMRef: self.BOMRef + "#bpf", Type: cdx.ComponentTypeLibrary, Name: "bpfviewfs/bpf", Version: c.version,
		Description: "programs for the kernel, which are embedded in the command",
		Licenses:    &cdx.Licenses{{Expression: "GPL-2.0-only OR BSD-2-Clause"}},
	}
	parts := []cdx.Component{objects, c.module("std", strings.TrimPrefix(c.info.GoVersion, "go"), "")}
	for _, m := range c.info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		parts = append(parts, c.module(m.Path, m.Version, m.Sum))
	}
	refs := make([]string, len(parts))
	for i := range parts {
		refs[i] = parts[i].BOMRef
	}
	bill := cdx.NewBOM()
	bill.SerialNumber = uuid.NewSHA1(uuid.NameSpaceOID, sum[:]).URN()
	bill.Metadata = &cdx.Metadata{
		Timestamp: c.time.Format(time.RFC3339),
		Component: &self,
		Properties: &[]cdx.Property{
			{Name: "GOOS", Value: c.setting("GOOS")}, {Name: "GOARCH", Value: c.setting("GOARCH")},
		},
	}
	bill.Components = &parts
	bill.Dependencies = &[]cdx.Dependency{{Ref: self.BOMRef, Dependencies: &refs}}
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bill)
}

// module describes a module of Go. sum is its hash as in go.sum, or "".
func (c *command) module(path, version, sum string) cdx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	m := cdx.Component{
		BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url,
		Scope: cdx.ScopeRequired,
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(raw) > 0 {
		m.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
	}
	return m
}
