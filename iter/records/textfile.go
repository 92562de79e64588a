package records

import (
	"bpfviewfs/internal/errno"
	"golang.org/x/sys/unix"
)

// Metrics says which part of a record view [Textfile] has. The zero value is Rows if all keys have few values
// (enums, bools, single chars), otherwise Totals. Then averages over time and the labels of the info metric
// are left out, because a collector has no use for them.
type Metrics string

const (
	Rows      Metrics = "rows"   // all of Prom
	Totals    Metrics = "totals" // for each cgroup how many records there are, and their sums
	NoMetrics Metrics = "none"   // the view has no Textfile
)

// LimitSamples sets the number of samples that [Textfile] may have; 0 is no limit.
func (o *Output) LimitSamples(most int) { o.most = most }

// appendTextfile renders records for a collector. The output then is about the totals.
func (o *Output) appendTextfile(dst []byte) ([]byte, error) {
	rows := o.metrics == Rows || o.metrics == "" && o.record.isBounded()
	o.bounded = o.metrics != Rows
	if !rows {
		o.total()
		if err := o.sort(); err != nil {
			return nil, err
		}
	}
	return o.appendProm(dst)
}

// tooMany is the error for more than most samples.
func tooMany(most int) error {
	return errno.Errorf(unix.EFBIG, "more than %d samples: mount with a larger max_series=, "+
		"or set metrics: totals or match: for the view", most)
}
