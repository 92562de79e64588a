package records

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"bpfviewfs/internal/baseunits"
	"bpfviewfs/internal/plain"
)

func plainProm(o *Output) (page string) {
	for i := range o.record.columns {
		if c := &o.record.columns[i]; c.series != "" {
			page += plainFamily(o, c)
		}
	}
	for i := range o.record.columns {
		if o.record.isInfo(i) {
			return page + plainFamily(o, &column{series: "info", help: o.help})
		}
	}
	return page
}

func plainFamily(o *Output, c *column) string {
	name, kind, help, samples := "bpfview_"+o.view+"_"+c.series, c.metric, c.help, ""
	switch {
	case c.kind == histogram:
		kind = "histogram"
	case c.size == 0:
		kind = "gauge"
	}
	if help == "" {
		help = o.view + " " + c.series
	}
	for i := range o.parts {
		twin := 0
		records := plainRecords(o, &o.parts[i])
		for k, rec := range records {
			if twin++; k == 0 || o.record.compare(records[k-1], rec) != 0 {
				twin = 0
			}
			if c.size > 0 && plainMissing(c, rec) {
				continue
			}
			samples += plainSamples(o, c, name, plainLabels(o, &o.parts[i], rec, twin), rec)
		}
	}
	if samples == "" {
		return ""
	}
	out := "# HELP " + name + " " + escapeLabel(help, false) + "\n# TYPE " + name + " " + kind + "\n"
	if base := c.in.Base; base != "" {
		out += "# UNIT " + name + " " + base + "\n"
	}
	return out + samples
}

func plainLabels(o *Output, p *part, rec []byte, twin int) string {
	path := "/"
	if name := plainPath(o, p); o.tree && name != "." {
		path += name
	}
	labels := `cgroup="` + escapeLabel(path, true) + `"`
	for _, k := range o.record.keys {
		labels += plainLabel(&o.record.columns[k], rec)
	}
	if twin > 0 {
		labels += fmt.Sprintf(`,record="%d"`, twin)
	}
	return labels
}

func plainLabel(c *column, rec []byte) string {
	switch {
	case plainMissing(c, rec):
		return ""
	case c.kind == characters:
		return "," + c.name + `="` + escapeLabel(string(c.characters(rec)), true) + `"`
	}
	return "," + c.name + `="` + plainValue(c, rec) + `"`
}

func plainSamples(o *Output, c *column, name, labels string, rec []byte) (lines string) {
	if c.size == 0 {
		for i := range o.record.columns {
			if o.record.isInfo(i) {
				labels += plainLabel(&o.record.columns[i], rec)
			}
		}
		return name + "{" + labels + "} 1\n"
	}
	if c.kind != histogram {
		return name + "{" + labels + "} " + plainBase(c, plainValue(c, rec)) + "\n"
	}
	total := uint64(0)
	for i := range c.slots(rec).Len() {
		upper := "+Inf"
		if i < c.slots(rec).Len()-1 {
			upper = string(c.in.AppendBound(nil, c.bound(i)))
		}
		total += c.slots(rec).Count(i)
		lines += fmt.Sprintf("%s_bucket{%s,le=\"%s\"} %d\n", name, labels, upper, total)
	}
	return lines + fmt.Sprintf("%s_count{%s} %d\n", name, labels, total)
}

// plainBase is a number in the base unit of its column.
func plainBase(c *column, number string) string {
	v, _ := new(big.Rat).SetString(number)
	switch c.unit {
	case "ns":
		v.Quo(v, big.NewRat(1e9, 1))
	case "us", "ppm":
		v.Quo(v, big.NewRat(1e6, 1))
	case "pages":
		v.Mul(v, new(big.Rat).SetUint64(baseunits.PageSize))
		if limit := new(big.Rat).SetUint64(math.MaxUint64); new(big.Rat).Abs(v).Cmp(limit) > 0 {
			pages, _ := strconv.ParseFloat(number, 64)
			return strconv.FormatFloat(pages*float64(baseunits.PageSize), 'g', -1, 64)
		}
	}
	text := v.FloatString(9)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func escapeLabel(text string, quotes bool) string {
	return plainEscape(text, func(r rune, bytes string) string {
		switch {
		case r == '\\':
			return `\\`
		case r == '\n':
			return `\n`
		case r == '"' && quotes:
			return `\"`
		case r == '\ufffd' && len(bytes) > 1:
			return "\ufffd\ufffd"
		case r == '\ufffd' || !plain.Rune(r):
			escaped := ""
			for _, b := range []byte(bytes) {
				escaped += fmt.Sprintf("\ufffd%02x", b)
			}
			return escaped
		}
		return bytes
	})
}
