package records

import "strconv"

// Format is the way in which a run's output is shown.
type Format uint8

const (
	Text     Format = iota // columns, or the text of a text view
	JSON                   // one object a record, each on a line
	Prom                   // the Prometheus text format
	Raw                    // a header and the structs, or the bytes of an encoded view
	Textfile               // the part of Prom that has few samples a cgroup: see Metrics
)

func (f Format) String() string {
	names := [...]string{"text", "JSON", "Prometheus text", "raw", "Prometheus text for collectors"}
	if int(f) < len(names) {
		return names[f]
	}
	return "format " + strconv.Itoa(int(f))
}
