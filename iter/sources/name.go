package sources

import (
	"regexp"
	"strings"
)

// A name is a file's name in every cgroup, a BPF program's and a pin's: bpffs takes no dots.
var viewName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// IsName reports whether a view can have the name: [a-z][a-z0-9_]*, without ___, which parts a flavour from
// its view.
func IsName(name string) bool {
	return viewName.MatchString(name) && !strings.Contains(name, "___")
}
