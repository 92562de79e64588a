package records

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// appendProm renders records in the Prometheus text format (prometheus.io/docs/instrumenting/exposition_formats): each
// metric with all its samples, labelled with the cgroup's path and the keys; members that are no numbers to measure are
// labels of one more metric, bpfview_VIEW_info. Records with the same keys are told apart by the label "record".
// expfmt can write the like, from some ten allocations a sample.
func (o *Output) appendProm(dst []byte) ([]byte, error) {
	for i := range o.record.columns {
		c := &o.record.columns[i]
		if c.series == "" {
			continue
		}
		kind := c.metric
		if c.kind == histogram {
			kind = "histogram"
		}
		var err error
		if dst, err = o.appendFamily(dst, c, kind); err != nil {
			return nil, err
		}
	}
	if !o.record.hasInfo() {
		return dst, nil
	}
	return o.appendFamily(dst, &column{series: "info", help: o.help}, "gauge")
}

// appendFamily appends one metric. It is left out if no record has it.
func (o *Output) appendFamily(dst []byte, c *column, kind string) ([]byte, error) {
	from := len(dst)
	dst = o.appendComments(dst, c, kind)
	begin := len(dst)
	for i := range o.parts {
		p := &o.parts[i]
		twin := uint64(0)
		for k, n := range o.records(p) {
			rec := o.at(p, n)
			if k > 0 && o.record.compare(o.at(p, o.records(p)[k-1]), rec) == 0 {
				twin++
			} else {
				twin = 0
			}
			if c.missing(rec) {
				continue
			}
			if c.kind == histogram {
				dst = o.appendBuckets(dst, c, p, rec, twin)
			} else {
				dst = o.appendSample(dst, c, p, rec, twin)
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
	help := c.help
	if help == "" {
		help = o.view + " " + c.series
	}
	dst = o.appendName(append(dst, "# HELP "...), c)
	dst = appendLabelText(append(dst, ' '), []byte(help), false)
	dst = o.appendName(append(dst, "\n# TYPE "...), c)
	dst = append(append(append(dst, ' '), kind...), '\n')
	if base := units[c.unit].base; base != "" {
		dst = o.appendName(append(dst, "# UNIT "...), c)
		dst = append(append(append(dst, ' '), base...), '\n')
	}
	return dst
}

func (o *Output) appendName(dst []byte, c *column) []byte {
	dst = append(append(dst, "bpfview_"...), o.view...)
	return append(append(dst, '_'), c.series...)
}

func (o *Output) appendSample(dst []byte, c *column, p *part, rec []byte, twin uint64) []byte {
	dst = o.appendLabels(o.appendName(dst, c), p, rec, twin)
	if c.size > 0 {
		return append(c.appendBase(append(dst, "} "...), c.value(rec)), '\n')
	}
	for i := range o.record.columns {
		if l := &o.record.columns[i]; o.record.isInfo(i) {
			dst = l.appendLabel(dst, rec)
		}
	}
	return append(dst, "} 1\n"...)
}

// appendBuckets appends a histogram: the buckets, each with what is below as well, the sum if it is known, the count.
func (o *Output) appendBuckets(dst []byte, c *column, p *part, rec []byte, twin uint64) []byte {
	from := len(dst)
	dst = o.appendLabels(append(o.appendName(dst, c), "_bucket"...), p, rec, twin)
	end := len(dst)
	labels := from + bytes.IndexByte(dst[from:], '{')
	s := c.slots(rec)
	total := uint64(0)
	for i := range s.len() {
		if i > 0 {
			dst = append(dst, dst[from:end]...)
		}
		dst = append(dst, `,le="`...)
		if i == s.len()-1 {
			dst = append(dst, "+Inf"...)
		} else {
			dst = c.appendBase(dst, s.upper(i))
		}
		total += s.count(i)
		dst = append(strconv.AppendUint(append(dst, `"} `...), total, 10), '\n')
	}
	if c.sum >= 0 && !o.record.columns[c.sum].missing(rec) {
		sum := &o.record.columns[c.sum]
		dst = append(append(o.appendName(dst, c), "_sum"...), dst[labels:end]...)
		dst = append(sum.appendBase(append(dst, "} "...), sum.value(rec)), '\n')
	}
	dst = append(append(o.appendName(dst, c), "_count"...), dst[labels:end]...)
	return append(strconv.AppendUint(append(dst, "} "...), total, 10), '\n')
}

// appendLabels appends what all samples of a record have, without the closing brace.
func (o *Output) appendLabels(dst []byte, p *part, rec []byte, twin uint64) []byte {
	// As in a cgroup namespace the path begins at the cgroup that was asked for: who was given a part of the tree must
	// not learn what is above it.
	dst = append(dst, `{cgroup="/`...)
	if path := o.path(p.node); o.tree && string(path) != "." {
		dst = appendLabelText(dst, path, true)
	}
	dst = append(dst, '"')
	for _, k := range o.record.keys {
		dst = o.record.columns[k].appendLabel(dst, rec)
	}
	if twin > 0 {
		dst = append(strconv.AppendUint(append(dst, `,record="`...), twin, 10), '"')
	}
	return dst
}

// appendLabel appends a member as a label. One that is not available has none, which is the same as an empty one.
func (c *column) appendLabel(dst, rec []byte) []byte {
	if c.missing(rec) {
		return dst
	}
	dst = append(append(append(dst, ','), c.name...), `="`...)
	if c.kind == characters {
		dst = appendLabelText(dst, c.characters(rec), true)
	} else {
		dst = c.appendPlain(dst, rec)
	}
	return append(dst, '"')
}

// appendLabelText appends text escaped as a label's value or, without quotes, a help line's. Bytes that are not UTF-8,
// which the format does not have, become U+FFFD and their hexadecimal number, and U+FFFD itself is doubled: two names
// never become one, which would make one sample twice and spoil the whole page.
func appendLabelText(dst, text []byte, quotes bool) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '\\':
			dst = append(dst, `\\`...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '"' && quotes:
			dst = append(dst, `\"`...)
		case r == utf8.RuneError && n == 1:
			dst = append(utf8.AppendRune(dst, r), hex[text[0]>>4], hex[text[0]&15])
		case r == utf8.RuneError:
			dst = utf8.AppendRune(utf8.AppendRune(dst, r), r)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}
