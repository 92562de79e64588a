package records

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"

	"bpfviewfs/internal/plain"
)

// schema describes the structs of a record view, for readers of raw output and of the members' help.
type schema struct {
	View    string `json:"view"`
	Help    string `json:"help,omitempty"`
	Version int    `json:"version"`
	Hash    string `json:"hash"`       // as in the header of raw output
	Order   string `json:"byte_order"` // little or big
	Size    int    `json:"size"`       // of a record, bytes
	JSON    string `json:"json"`       // rules for readers of JSON
	// Textfile is the metrics that [Textfile] has: rows of all records without averages, all that [Prom]
	// has, or totals. MaxSeries is the most samples of it.
	Textfile  string         `json:"textfile,omitempty"`
	MaxSeries int            `json:"max_series,omitempty"`
	Members   []schemaMember `json:"members"`
}

type schemaMember struct {
	Name     string            `json:"name"`
	Offset   int               `json:"offset"`
	Size     int               `json:"size"`
	Type     string            `json:"type"`
	Kind     string            `json:"kind,omitempty"` // gauge or counter
	Unit     string            `json:"unit,omitempty"`
	Key      bool              `json:"key,omitempty"`
	Optional bool              `json:"optional,omitempty"` // all bits set means not available
	Total    bool              `json:"total,omitempty"`    // added up over records with the same keys
	SumOf    string            `json:"sum_of,omitempty"`
	Average  bool              `json:"average,omitempty"` // over time, of a counter that the record has, too
	Metric   string            `json:"metric,omitempty"`  // in Prometheus text; members without one are labels
	Help     string            `json:"help,omitempty"`
	Values   map[string]string `json:"values,omitempty"` // of an enum, by number
}

const schemaJSON = "a number above 2^53 is a string; an unavailable value is null; a histogram is an object that has its sum"

// Schema is the record type of a view as JSON, with a newline at its end; nil if the bytes are no records.
func (t Type) Schema(view string) []byte {
	r := t.record
	if r == nil {
		return nil
	}
	s := schema{View: view, Help: t.help, Version: t.version, Hash: t.Hash(), Size: r.size, JSON: schemaJSON,
		Textfile: t.textfile(), MaxSeries: t.most,
		Order: map[bool]string{false: "little", true: "big"}[bigEndian]}
	for i := range r.columns {
		c := &r.columns[i]
		m := schemaMember{
			Name: c.name, Offset: c.off, Size: c.size, Type: c.typeName(), Kind: c.metric,
			Unit: c.unit, Key: slices.Contains(r.keys, i), Optional: c.optional, Total: c.total,
			SumOf: c.sumOf, Average: c.average, Help: c.help, Values: make(map[string]string),
		}
		if c.series != "" {
			m.Metric = "bpfview_" + view + "_" + c.series
		}
		for value, name := range c.names {
			number := strconv.FormatUint(value, 10)
			if c.negative {
				number = strconv.FormatInt(int64(value), 10)
			}
			m.Values[number] = name
		}
		s.Members = append(s.Members, m)
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // strings and numbers alone
	}
	return append(plain.JSON(out), '\n')
}

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
