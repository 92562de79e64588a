// Package tags reads the tags that bpf/include/bpfview.h gives to members and functions.
package tags

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/plain"
	"golang.org/x/sys/unix"
)

// commentTag begins the tags in which tests of libbpf and the kernel note the expected result of a program.
const commentTag = "comment:"

// Read gives the values of tags by their names. A tag that is unknown, or there twice, is an error.
func Read(list []string, known map[string]bool) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		name, value, _ := strings.Cut(tag, ":")
		valued, ok := known[name]
		before, twice := tags[name]
		switch {
		case !ok:
			return nil, errno.Errorf(unix.ENOEXEC, "tag %q is none of %s",
				tag, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case valued != (value != ""):
			want := "takes no value"
			if valued {
				want = "needs a value"
			}
			return nil, errno.Errorf(unix.ENOEXEC, "tag %q: %s %s", tag, name, want)
		case twice && before == value:
			return nil, errno.Errorf(unix.ENOEXEC, "tag %q is there twice", tag)
		case twice:
			return nil, errno.Errorf(unix.ENOEXEC, "tags \"%s:%s\" and %q contradict each other",
				name, before, tag)
		}
		if name == "help" { // it goes to readers' terminals
			value = plain.Line(value)
		}
		tags[name] = value
	}
	return tags, nil
}

// ReadProgram is Read for a program's function. A program that has no tag of bpf/include/bpfview.h
// was written without it, so its tags mean something else.
func ReadProgram(list []string, known map[string]bool) (map[string]string, error) {
	var own []string
	any := false
	for _, tag := range list {
		if strings.HasPrefix(tag, commentTag) {
			continue
		}
		name, _, _ := strings.Cut(tag, ":")
		_, ok := known[name]
		any = any || ok
		own = append(own, tag)
	}
	if !any {
		return nil, nil
	}
	return Read(own, known)
}

// Lines reads a number of lines from a tag; nil if there is none.
func Lines(values map[string]string, name string) (*int, error) {
	value, ok := values[name]
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseUint(value, 10, 10)
	if err != nil {
		return nil, errno.Errorf(unix.ENOEXEC, "tag %s:%s is no number of lines", name, value)
	}
	number := int(n)
	return &number, nil
}
