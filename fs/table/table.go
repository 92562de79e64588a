// Package table is the form of a list of views, in .bpfview/views and in the output of a command.
package table

import (
	"cmp"
	"fmt"
	"strconv"
)

// Row is one line of a list of views.
type Row struct {
	Name     string
	Presence string // see Presence
	Kind     string // "text", "record" or "encoded"; "" if it is not known
	Version  int    // of its record; 0 if it has none
	Hash     string // of its record's type; "" if it has none
	About    string // its help text, or the reason why it is not here
}

// Presence of a view in a directory, which users see as its STATE.
const (
	Here      = "here"
	Elsewhere = "elsewhere" // not in this cgroup
	Off       = "off"       // not enabled
	Absent    = "absent"    // this kernel, or a fault, keeps it away
)

// Presence is the presence of a view that is absent because of err, or Here if err is nil.
func Presence(err error, off bool) string {
	switch {
	case err == nil:
		return Here
	case off:
		return Off
	}
	return Absent
}

// Append appends a list of views with a line of heads. A column is as wide as its widest word.
func Append(dst []byte, rows []Row) []byte {
	heads := Row{Name: "VIEW", Presence: "STATE", Kind: "KIND", Version: -1, Hash: "HASH", About: "ABOUT"}
	rows = append([]Row{heads}, rows...)
	var name, presence, kind, version, hash int
	for i := range rows {
		r := &rows[i]
		r.Kind, r.Hash = cmp.Or(r.Kind, "-"), cmp.Or(r.Hash, "-")
		name, presence, kind = max(name, len(r.Name)), max(presence, len(r.Presence)), max(kind, len(r.Kind))
		version, hash = max(version, len(r.version())), max(hash, len(r.Hash))
	}
	for _, r := range rows {
		dst = fmt.Appendf(dst, "%-*s %-*s %-*s %*s %-*s %s\n",
			name, r.Name, presence, r.Presence, kind, r.Kind, version, r.version(), hash, r.Hash, r.About)
	}
	return dst
}

func (r *Row) version() string {
	switch {
	case r.Version < 0:
		return "VERSION"
	case r.Version == 0:
		return "-"
	}
	return strconv.Itoa(r.Version)
}
