package sources

import (
	"regexp"
	"strings"
)

// A name is used for a file in every cgroup, a BPF program and a pin. bpffs takes no dots.
var viewName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// IsName reports whether a view can have the name. It is [a-z][a-z0-9_]* without ___, which parts a flavour
// from its view.
func IsName(name string) bool {
	return viewName.MatchString(name) && !strings.Contains(name, "___")
}
