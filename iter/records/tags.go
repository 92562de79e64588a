package records

import (
	"maps"
	"slices"
	"strings"

	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// memberTags and programTags are the tags that bpf/include/bpfview.h defines, and whether each has a value.
var (
	memberTags = map[string]bool{
		"key": false, "optional": false, "total": false, "by": false, "add": false, "average": false,
		"kind": true, "unit": true, "sum": true, "help": true,
		"width": true, // of older objects; it has no effect
	}
	programTags = map[string]bool{"help": true, "version": true, "order": true, "encoded": true,
		"requires": true, "wants": true, "header": true, "footer": true, "rows": false}
)

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
		for _, name := range slices.Sorted(maps.Keys(baseunits.Units)) {
			if suffix := baseunits.Units[name].Suffix; number && (c.metric != "" || c.kind == histogram) &&
				strings.HasSuffix(c.name, suffix) {
				return errno.Errorf(unix.ENOEXEC,
					"a metric that ends in %s needs VIEW_UNIT(%q)",
					suffix, name)
			}
		}
		return nil
	}
	unit, ok := baseunits.Units[c.unit]
	switch {
	case !ok:
		return errno.Errorf(unix.ENOEXEC, "unit %q is none of %s",
			c.unit, strings.Join(slices.Sorted(maps.Keys(baseunits.Units)), ", "))
	case !number:
		return errno.Errorf(unix.ENOEXEC, "it has a unit and is no number")
	case !strings.HasSuffix(c.name, unit.Suffix):
		return errno.Errorf(unix.ENOEXEC, "it is in %s, so its name must end in %s",
			c.unit, unit.Suffix)
	}
	return nil
}
