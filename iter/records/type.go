// Package records decodes and renders the bytes of views. It needs neither root nor a kernel.
//
// A text view's bytes are text, and an encoded view's are in a format that its tag names. Both are passed on
// unchanged. A record view writes C structs one after the other. [TypeOf] finds the struct in the BTF of an
// object or of a loaded program. The last parameter of the function tagged "bpfview:record" points to it.
// Tags of its members say how they are shown; bpf/include/bpfview.h explains them. In an optional member, all
// bits set means not available.
//
// [Output] collects the bytes of one run, about one cgroup or about each cgroup of a [Tree], and renders them
// in a [Format]. Records are sorted by the members tagged "key", and stay in their order if those are equal.
// A rendering allocates only the growth of its slice.
//
// A text rendering is safe to split at blanks and line ends, whatever name a process gives itself, because
// such bytes are escaped. No two samples of a Prometheus page are the same, because one doubled sample makes
// a collector drop the page.
package records

import (
	"fmt"
	"slices"
	"strconv"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/plain"
	"bpfviewfs/internal/tags"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Type is the meaning of the bytes that a view writes. The zero value is the type of an unknown view.
type Type struct {
	kind    string
	help    string
	version int
	encoded string  // the format that the bytes are in, "" for text and records
	record  *record // nil for text and encoded views
	metrics Metrics
	most    int // samples that Textfile may have; 0 is no limit

	header, footer *int // lines of a text, nil if no tag says how many
}

// Frame is how many lines of a program's text are a header, and how many a footer; nil if no tag says it.
func (t Type) Frame() (header, footer *int) { return t.header, t.footer }

// TypeOf reads the type from the types of an object or a loaded program, and from the tags of the program's
// function. functions are the names of all its functions; nil means unknown. Without types it is text.
func TypeOf(types *btf.Spec, list, functions []string) (t Type, err error) {
	t.kind = "text"
	if types != nil {
		if t.record, err = findRecord(types, functions); err != nil {
			return t, err
		}
	}
	if t.record != nil {
		t.kind, t.version = "record", 1
	}
	tagged, err := tags.ReadProgram(list, programTags)
	if err != nil {
		return t, err
	}
	t.help = tagged["help"]
	if format := tagged["encoded"]; format != "" {
		t.kind, t.encoded = "encoded", format
	}
	if number := tagged["version"]; number != "" {
		version, err := strconv.ParseUint(number, 10, 31)
		if err != nil || version == 0 {
			return t, errno.Errorf(unix.ENOEXEC, "tag version:%s is no number from 1", number)
		}
		t.version = int(version)
	}
	t.header, err = tags.Lines(tagged, "header")
	if err == nil {
		t.footer, err = tags.Lines(tagged, "footer")
	}
	if err != nil {
		return t, err
	}
	if t.kind == "encoded" && t.record != nil {
		return t, errno.Errorf(unix.ENOEXEC, "it is tagged encoded:%s and writes records",
			t.encoded)
	}
	return t, nil
}

// Kind is "text", "record" or "encoded"; "" for the zero value.
func (t Type) Kind() string { return t.kind }

// RecordSize is the size of a record in bytes; 0 if the bytes are no records.
func (t Type) RecordSize() int {
	if t.record == nil {
		return 0
	}
	return t.record.size
}

// Help is one line about the view, or "".
func (t Type) Help() string { return t.help }

// WithHelp is the type with another help.
func (t Type) WithHelp(help string) Type {
	t.help = plain.Line(help)
	return t
}

// WithMetrics is the type with other contents of [Textfile], which may have that many samples; 0 is no limit.
func (t Type) WithMetrics(m Metrics, most int) Type {
	t.metrics, t.most = m, most
	return t
}

// Version is the version that the view gives its output, which has to change with a record; 0 if it has none.
func (t Type) Version() int { return t.version }

// Hash distinguishes one record type from another, in 16 hexadecimal digits; "" if the bytes are no records.
func (t Type) Hash() string {
	if t.record == nil {
		return ""
	}
	return fmt.Sprintf("%x", t.record.sum)
}

// Sumless names the histograms without a sum. A collector that expects a sum takes it for 0.
func (t Type) Sumless() (names []string) {
	if t.record == nil {
		return nil
	}
	for i := range t.record.columns {
		if c := &t.record.columns[i]; c.kind == histogram && c.sum < 0 {
			names = append(names, c.name)
		}
	}
	return names
}

// Bounded reports whether a cgroup has few rows: the type is a record without keys, or with keys that are all
// enumerations.
func (t Type) Bounded() bool {
	return t.record != nil && !slices.ContainsFunc(t.record.keys, func(k int) bool {
		return t.record.columns[k].kind != enumeration
	})
}

// Formats are the formats in which a run for one cgroup can be shown, or for a tree.
func (t Type) Formats(tree bool) []Format {
	switch t.kind {
	case "record":
		if tree && t.metrics != NoMetrics {
			return []Format{Text, JSON, Prom, Raw, Textfile}
		}
		return []Format{Text, JSON, Prom, Raw}
	case "encoded":
		if tree { // the bytes have no lines, so the parts of a tree come framed
			return []Format{Raw}
		}
		return []Format{Text, Raw}
	case "text":
		return []Format{Text}
	}
	return nil
}
