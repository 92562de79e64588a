package iter

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// traits are what a view's types tell of it: an object's, or those of a loaded program.
type traits struct {
	help    string  // what the view shows, "" if it does not say
	version int     // of what it writes, 0 if it has none
	encoded string  // the format that its bytes are in, "" for text and records
	record  *record // how the bytes are read; nil for text and encoded views
}

// traitsOf reads them from all types, and the tags of the program's function.
func traitsOf(types *btf.Spec, tags []string) (t traits, err error) {
	if t.record, err = findRecord(types); err != nil {
		return t, err
	}
	if t.record != nil {
		t.version = 1
	}
	for _, tag := range tags {
		tag, value, _ := strings.Cut(tag, ":")
		switch tag {
		case "help":
			t.help = value
		case "encoded":
			t.encoded = value
		case "version":
			version, err := strconv.ParseUint(value, 10, 31)
			if err != nil || version == 0 {
				return t, fmt.Errorf("tag version:%s is no number from 1: %w", value, unix.ENOEXEC)
			}
			t.version = int(version)
		}
	}
	if t.encoded != "" && t.record != nil {
		return t, fmt.Errorf("it is tagged encoded:%s and writes records: %w", t.encoded, unix.ENOEXEC)
	}
	return t, nil
}
