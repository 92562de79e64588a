package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	samples := sorted([]float64{5, 1, 3, 2, 4})
	for q, want := range map[float64]float64{0: 1, 0.1: 1.4, 0.5: 3, 0.9: 4.6, 1: 5} {
		if got := quantile(samples, q); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

// made is a row of two builds and a peer: this build takes half of the peer's time, the older one twice
// that.
func made() *result {
	r := &result{Name: "made", Title: "made up"}
	for _, at := range []float64{100, 110, 120} {
		r.add(thisBuild, "time", "µs", at/2, at/2+1)
		r.add(olderBuild, "time", "µs", 2*at, 2*at+4)
		r.add(stock, "time", "µs", at, at+2)
	}
	r.quotient(atMost(0.6), "time, in go-fuse's", "time", stock, "time")
	r.quotient(atMost(0.2), "time, in the older build's", "time", olderBuild, "time")
	r.quotient(atLeast(3), "as before", "time", lxcfs, "time")
	r.hold(atMost(40).in("µs"), "worst", r.get(thisBuild, "time"), nil, worst(r, "time", 1))
	for _, m := range r.Measures {
		m.finish()
	}
	return r
}

func TestTargets(t *testing.T) {
	r := made()
	if len(r.Targets) != 3 {
		t.Fatalf("%d targets, want 3: what was not measured has none", len(r.Targets))
	}
	first, second, third := r.Targets[0], r.Targets[1], r.Targets[2]
	if first.Value != 0.5 || !first.Met || first.Older == nil || *first.Older != 2 {
		t.Errorf("half of go-fuse's time: %+v, want 0.5, met, and 2 of the older build", first)
	}
	if first.Low > 0.5 || first.High < 0.5 || first.Low < 100.0/2/120 || first.High > 120.0/2/100+0.01 {
		t.Errorf("interval %v to %v", first.Low, first.High)
	}
	if second.Value != 0.25 || second.Met || second.Older != nil {
		t.Errorf("a quarter of the older build's time: %+v", second)
	}
	if third.Value != 61 || third.Met || *third.Older != 244 {
		t.Errorf("worst: %+v", third)
	}
}

func TestReport(t *testing.T) {
	r := &report{Build: "abc", Older: "def<", Rows: []*result{made()}}
	table := r.table()
	for _, want := range []string{
		"| made up | 50.5 / **55.5** / 60.5 µs | go-fuse 101 / **111** / 121 µs | time, in go-fuse's | 0.500x (",
		") | 2.00x | ≤ 0.600x | met |", "| ≤ 0.200x | **not met** |",
		"| made | time | def< | 202 | 222 | 242 |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	dots := 0
	for d := xml.NewDecoder(strings.NewReader(string(r.plot()))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			dots++
		}
	}
	if dots != 5 {
		t.Errorf("%d dots, want 3 of this build and 2 of the older one", dots)
	}
}

func TestThin(t *testing.T) {
	var samples []float64
	for i := range 1001 {
		samples = append(samples, float64((i*8)%1001))
	}
	some := thin(samples, 101)
	if len(some) != 101 || some[0] != 0 || some[50] != 500 || some[100] != 1000 {
		t.Errorf("%d samples, from %v over %v to %v", len(some), some[0], some[50], some[100])
	}
}

func TestDigits(t *testing.T) {
	numbers := map[float64]string{0: "0", 0.05: "0.0500", 12.34: "12.3", 123.4: "123", 12345: "12300"}
	for x, want := range numbers {
		if got := digits(x); got != want {
			t.Errorf("digits(%v) is %q, want %q", x, got, want)
		}
	}
}
