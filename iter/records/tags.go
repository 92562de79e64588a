package records

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// memberTags and programTags are the tags that bpf/bpfview.h defines, and whether each has a value.
var (
	memberTags = map[string]bool{
		"key": false, "optional": false, "total": false,
		"kind": true, "unit": true, "sum": true, "help": true, "width": true,
	}
	programTags = map[string]bool{"help": true, "version": true, "order": true, "encoded": true,
		"requires": true}
)

// commentTag begins the tags by which libbpf's and the kernel's tests note what they expect of a program.
const commentTag = "comment:"

// readTags gives the values of tags by their names. A tag that is unknown, or there twice, is an error.
func readTags(list []string, known map[string]bool) (map[string]string, error) {
	tags := make(map[string]string, len(list))
	for _, tag := range list {
		name, value, _ := strings.Cut(tag, ":")
		valued, ok := known[name]
		before, twice := tags[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("tag %q is none of %s: %w",
				tag, strings.Join(slices.Sorted(maps.Keys(known)), ", "), unix.ENOEXEC)
		case valued != (value != ""):
			want := "takes no value"
			if valued {
				want = "needs a value"
			}
			return nil, fmt.Errorf("tag %q: %s %s: %w", tag, name, want, unix.ENOEXEC)
		case twice && before == value:
			return nil, fmt.Errorf("tag %q is there twice: %w", tag, unix.ENOEXEC)
		case twice:
			return nil, fmt.Errorf("tags \"%s:%s\" and %q contradict each other: %w",
				name, before, tag, unix.ENOEXEC)
		}
		tags[name] = value
	}
	return tags, nil
}

// readProgramTags is readTags for a program's function. A program that has no tag of bpf/bpfview.h was
// written without it, so its tags mean something else.
func readProgramTags(list []string) (map[string]string, error) {
	var own []string
	known := false
	for _, tag := range list {
		if strings.HasPrefix(tag, commentTag) {
			continue
		}
		name, _, _ := strings.Cut(tag, ":")
		_, ok := programTags[name]
		known = known || ok
		own = append(own, tag)
	}
	if !known {
		return nil, nil
	}
	return readTags(own, programTags)
}

// checkTags tells in an error which tags of a member contradict its type, its name or each other.
func (c *column) checkTags(class string, key bool) error {
	number := c.kind == integer || c.kind == boolean
	switch {
	case key && (class == "gauge" || class == "counter" || class == "histogram" || c.total ||
		c.sumOf != ""):
		return fmt.Errorf("a key identifies the record, so it is no metric, total or sum: %w",
			unix.ENOEXEC)
	case c.metric != "" && !number:
		return fmt.Errorf("a %s is a number: %w", c.metric, unix.ENOEXEC)
	case class == "cgroup" && c.kind != cgroupNumber:
		return fmt.Errorf("the id of a cgroup is a __u64: %w", unix.ENOEXEC)
	}
	return c.checkUnit()
}

// checkUnit compares the unit with the member's name.
func (c *column) checkUnit() error {
	number := c.kind == integer || c.kind == histogram
	if c.unit == "" {
		for _, name := range slices.Sorted(maps.Keys(units)) {
			if suffix := units[name].suffix; number && (c.metric != "" || c.kind == histogram) &&
				strings.HasSuffix(c.name, suffix) {
				return fmt.Errorf("a metric that ends in %s needs VIEW_UNIT(%q): %w",
					suffix, name, unix.ENOEXEC)
			}
		}
		return nil
	}
	unit, ok := units[c.unit]
	switch {
	case !ok:
		return fmt.Errorf("unit %q is none of %s: %w",
			c.unit, strings.Join(slices.Sorted(maps.Keys(units)), ", "), unix.ENOEXEC)
	case !number:
		return fmt.Errorf("it has a unit and is no number: %w", unix.ENOEXEC)
	case !strings.HasSuffix(c.name, unit.suffix):
		return fmt.Errorf("it is in %s, so its name must end in %s: %w",
			c.unit, unit.suffix, unix.ENOEXEC)
	}
	return nil
}
