package records

import (
	"cmp"

	"bpfviewfs/internal/decimal"
	"bpfviewfs/internal/plain"
)

// appendProm renders records in the Prometheus text format
// (prometheus.io/docs/instrumenting/exposition_formats). Each metric comes with all its samples, labelled
// with the cgroup's path and the keys. Members that are no numbers to measure are labels of one more metric,
// bpfview_VIEW_info. Records with the same keys are told apart by the label "record". expfmt does the like,
// with some ten allocations a sample.
func (o *Output) appendProm(dst []byte) ([]byte, error) {
	o.beginSubjects(Prom)
	o.label()
	for i := range o.record.columns {
		c := &o.record.columns[i]
		if c.series == "" || c.average && o.bounded {
			continue
		}
		o.samples += len(o.labels.ends)
		if c.kind == histogram { // the buckets, and the sum
			o.samples += len(o.labels.ends) * ((c.size/8+o.step(c)-1)/o.step(c) + 1)
		}
		err := o.fits(dst)
		if err != nil {
			return nil, err
		}
		if !o.present[i] {
			continue
		}
		if dst, err = o.appendFamily(dst, c, cmp.Or(c.metric, "histogram")); err != nil {
			return nil, err
		}
	}
	if len(o.record.info) == 0 || o.bounded {
		return dst, nil
	}
	o.samples += len(o.labels.ends)
	return o.appendFamily(dst, &column{series: "info", help: o.help}, "gauge")
}

// appendFamily appends one metric. It is left out if no record has it.
func (o *Output) appendFamily(dst []byte, c *column, kind string) ([]byte, error) {
	o.name = append(append(o.name[:0], "bpfview_"...), o.view...)
	if !c.bare {
		o.name = append(append(o.name, '_'), c.series...)
	}
	from := len(dst)
	dst = o.appendComments(dst, c, kind)
	begin, first, nr := len(dst), 0, 0
	for i := range o.parts {
		p := &o.parts[i]
		subject := o.subjectOf(p.number)
		for at := p.raw; at < p.rawEnd; at += o.record.size {
			rec, labels := o.raw[at:at+o.record.size], o.labels.text[first:o.labels.ends[nr]]
			first, nr = first+len(labels), nr+1
			switch {
			case c.kind == histogram:
				dst = o.appendBuckets(dst, c, rec, subject, labels)
			case c.size == 0:
				dst = append(append(append(dst, o.name...), subject...), labels...)
				for _, i := range o.record.info {
					dst = o.record.columns[i].appendLabel(dst, rec)
				}
				dst = append(dst, "} 1\n"...)
			default:
				v := c.value(rec)
				if c.optional && v == c.absent {
					continue
				}
				if dst = append(append(dst, o.name...), subject...); len(labels) > 0 {
					dst = append(dst, labels...)
				}
				if v == 0 {
					dst = append(dst, "} 0\n"...)
				} else {
					dst = append(c.in.Append(append(dst, "} "...), v, c.negative), '\n')
				}
			}
			if err := o.fits(dst); err != nil {
				return nil, err
			}
		}
	}
	if len(dst) == begin {
		return dst[:from], nil
	}
	return dst, nil
}

func (o *Output) appendComments(dst []byte, c *column, kind string) []byte {
	dst = append(append(append(dst, "# HELP "...), o.name...), ' ')
	switch {
	case c.bare:
		dst = plain.AppendLabel(append(append(append(dst, "Rows of "...), o.view...), ": "...),
			[]byte(o.help), false)
	case c.help != "":
		dst = plain.AppendLabel(dst, []byte(c.help), false)
	default:
		dst = append(append(append(dst, o.view...), ' '), c.series...)
	}
	dst = append(append(dst, "\n# TYPE "...), o.name...)
	dst = append(append(append(dst, ' '), kind...), '\n')
	if c.in.Base != "" {
		dst = append(append(dst, "# UNIT "...), o.name...)
		dst = append(append(append(dst, ' '), c.in.Base...), '\n')
	}
	return dst
}

// appendBuckets appends a histogram if it is there. Each bucket includes all lower ones. The sum, if it is
// known, and the count follow.
func (o *Output) appendBuckets(dst []byte, c *column, rec, subject, labels []byte) []byte {
	if c.missing(rec) {
		return dst
	}
	from, begin := len(dst), len(dst)+len(o.name)+len("_bucket")
	dst = append(append(append(append(dst, o.name...), "_bucket"...), subject...), labels...)
	end := len(dst)
	s, step, total := c.slots(rec), o.step(c), uint64(0)
	for i := range s.Len() {
		total += s.Count(i)
		last := i == s.Len()-1
		if (i+1)%step > 0 && !last {
			continue
		}
		if i >= step {
			dst = append(dst, dst[from:end]...)
		}
		dst = append(dst, `,le="`...)
		if last {
			dst = append(dst, "+Inf"...)
		} else {
			dst = c.in.AppendBound(dst, c.bound(i))
		}
		dst = append(decimal.Append(append(dst, `"} `...), total), '\n')
	}
	if c.sum >= 0 && !o.record.columns[c.sum].missing(rec) {
		sum := &o.record.columns[c.sum]
		dst = append(append(append(dst, o.name...), "_sum"...), dst[begin:end]...)
		dst = append(sum.in.Append(append(dst, "} "...), sum.value(rec), sum.negative), '\n')
	}
	dst = append(append(append(dst, o.name...), "_count"...), dst[begin:end]...)
	return append(decimal.Append(append(dst, "} "...), total), '\n')
}
