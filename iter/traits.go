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

func traitsOf(types *btf.Spec, program string) (t traits, err error) {
	if t.record, err = findRecord(types); err != nil {
		return t, err
	}
	if t.record != nil {
		t.version = 1
	}
	var f *btf.Func
	if types.TypeByName(program, &f) != nil {
		return t, nil
	}
	for _, tag := range f.Tags {
		tag, value, _ := strings.Cut(tag, ":")
		switch tag {
		case "help":
			t.help = value
		case "encoded":
			t.encoded = value
		case "version":
			version, err := strconv.ParseUint(value, 10, 31)
			if err != nil || version == 0 {
				return t, fmt.Errorf("program %s: tag version:%s is no number from 1: %w", program, value, unix.ENOEXEC)
			}
			t.version = int(version)
		}
	}
	if t.encoded != "" && t.record != nil {
		return t, fmt.Errorf("program %s is tagged encoded:%s and writes records: %w", program, t.encoded, unix.ENOEXEC)
	}
	return t, nil
}
