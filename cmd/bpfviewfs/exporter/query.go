package exporter

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// requestError is about the scrape and not about the mount.
type requestError struct{ error }

func badRequest(format string, args ...any) error { return requestError{fmt.Errorf(format, args...)} }

// query has the views that a scrape names, in the parameters of node_exporter.
type query struct{ collect, exclude []string }

// parseQuery reads the query of a URL. A parameter that does not exist is an error, because a scrape with a
// misspelt one would have all views.
func parseQuery(raw string) (q query, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, badRequest("the query %.80q: %w", raw, err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case name != "collect[]" && name != "exclude[]":
			return q, badRequest("unknown parameter %.80q: a scrape takes collect[]=VIEW or exclude[]=VIEW",
				name)
		case slices.Contains(values[name], ""):
			return q, badRequest("%s names no view: give it as %[1]s=VIEW", name)
		}
	}
	q = query{values["collect[]"], values["exclude[]"]}
	if len(q.collect) > 0 && len(q.exclude) > 0 {
		return q, badRequest("collect[] and exclude[] together: give one of them")
	}
	return q, nil
}

// choose returns those names that the query wants. A view that is left out need not be here, because machines
// that have one scrape configuration may have different views.
func (q query) choose(here []string) (names []string, err error) {
	for _, name := range q.collect {
		if !slices.Contains(here, name) {
			return nil, badRequest("view %.80q has no metrics in this mount: "+
				"bpfviewfs views shows why; here are %s", name, strings.Join(here, ", "))
		}
	}
	for _, name := range here {
		wanted := len(q.collect) == 0 || slices.Contains(q.collect, name)
		if wanted && !slices.Contains(q.exclude, name) {
			names = append(names, name)
		}
	}
	return names, nil
}
