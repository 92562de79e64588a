package records

import (
	"maps"
	"slices"
	"strings"

	"bpfviewfs/internal/errno"
	"bpfviewfs/internal/plain"
	"golang.org/x/sys/unix"
)

// memberTags and programTags are the tags that bpf/include/bpfview.h defines, and whether each has a value.
var (
	memberTags = map[string]bool{
		"key": false, "optional": false, "total": false, "by": false, "add": false, "average": false,
		"kind": true, "unit": true, "sum": true, "help": true, "width": true,
	}
	programTags = map[string]bool{"help": true, "version": true, "order": true, "encoded": true,
		"requires": true, "header": true, "footer": true, "rows": false}
)

// commentTag begins the tags in which tests of libbpf and the kernel note the expected result of a program.
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

// readProgramTags is readTags for a program's function. A program that has no tag of bpf/include/bpfview.h
// was written without it, so its tags mean something else.
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
		return errno.Errorf(unix.ENOEXEC,
			"a key identifies the record, so it is no metric, total or sum")
	case c.metric != "" && !number:
		return errno.Errorf(unix.ENOEXEC, "a %s is a number", c.metric)
	case class == "cgroup" && c.kind != cgroupNumber:
		return errno.Errorf(unix.ENOEXEC, "the id of a cgroup is a __u64")
	case c.by && !c.bounded():
		return errno.Errorf(unix.ENOEXEC, "totals are told apart by an enum, a bool or one char, because others have any number of values")
	case c.added && c.metric != "gauge":
		return errno.Errorf(unix.ENOEXEC,
			"only a gauge is added up, because a sum over records that come and go is no counter")
	case c.average && c.metric != "gauge":
		return errno.Errorf(unix.ENOEXEC, "an average is a gauge")
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
				return errno.Errorf(unix.ENOEXEC,
					"a metric that ends in %s needs VIEW_UNIT(%q)",
					suffix, name)
			}
		}
		return nil
	}
	unit, ok := units[c.unit]
	switch {
	case !ok:
		return errno.Errorf(unix.ENOEXEC, "unit %q is none of %s",
			c.unit, strings.Join(slices.Sorted(maps.Keys(units)), ", "))
	case !number:
		return errno.Errorf(unix.ENOEXEC, "it has a unit and is no number")
	case !strings.HasSuffix(c.name, unit.suffix):
		return errno.Errorf(unix.ENOEXEC, "it is in %s, so its name must end in %s",
			c.unit, unit.suffix)
	}
	return nil
}
