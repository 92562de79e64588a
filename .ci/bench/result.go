package main

import (
	"math/rand/v2"
	"slices"
)

// result has the measures of one row.
type result struct {
	Name      string     `json:"name"`
	Title     string     `json:"title"`
	Measures  []*measure `json:"measures"`
	Targets   []*target  `json:"targets"`
	Notes     []string   `json:"notes,omitempty"`
	Disturbed float64    `json:"disturbed"` // the share of the machine that other programs took
}

// measure is a quantity of a subject.
type measure struct {
	Subject string    `json:"subject"`
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	P10     float64   `json:"p10"`
	P50     float64   `json:"p50"`
	P90     float64   `json:"p90"`
	P99     float64   `json:"p99"`
	Max     float64   `json:"max"`
	Samples int       `json:"samples"`
	Medians []float64 `json:"medians"` // of each round

	rounds [][]float64
}

// target compares a number with a bound. The number is made of the row's measures.
type target struct {
	What    string   `json:"what"`
	Value   float64  `json:"value"`
	Low     float64  `json:"low"` // to High: see interval
	High    float64  `json:"high"`
	Older   *float64 `json:"older,omitempty"` // the value of the older build
	Limit   float64  `json:"limit"`
	AtLeast bool     `json:"at_least"` // the limit is a minimum
	Unit    string   `json:"unit"`
	Met     bool     `json:"met"`

	ours, peer *measure
}

// pool returns the samples of a measure that a number is made of.
type pool func(*measure) []float64

// get returns a measure, or nil.
func (r *result) get(subject, what string) *measure {
	for _, m := range r.Measures {
		if m.Subject == subject && m.What == what {
			return m
		}
	}
	return nil
}

// add adds the samples of a round to a measure.
func (r *result) add(subject, what, unit string, samples ...float64) *measure {
	m := r.get(subject, what)
	if m == nil {
		m = &measure{Subject: subject, What: what, Unit: unit}
		r.Measures = append(r.Measures, m)
	}
	if len(samples) > 0 {
		m.rounds = append(m.rounds, samples)
	}
	return m
}

// finish computes a measure's figures from its samples.
func (m *measure) finish() {
	all := sorted(all(m))
	m.P10, m.P50, m.P90 = quantile(all, 0.1), quantile(all, 0.5), quantile(all, 0.9)
	m.P99, m.Max = quantile(all, 0.99), quantile(all, 1)
	m.Samples, m.Medians = len(all), nil
	for _, round := range m.rounds {
		m.Medians = append(m.Medians, quantile(sorted(round), 0.5))
	}
}

func all(m *measure) []float64 { return slices.Concat(m.rounds...) }

func sorted(samples []float64) []float64 { return slices.Sorted(slices.Values(samples)) }

// quantile interpolates between the two nearest of the sorted samples. It is 0 if there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// bound is the limit of a target.
type bound struct {
	limit   float64
	atLeast bool
	unit    string // "" for a ratio
}

func atMost(limit float64) bound  { return bound{limit: limit} }
func atLeast(limit float64) bound { return bound{limit: limit, atLeast: true} }

func (b bound) in(unit string) bound {
	b.unit = unit
	return b
}

func (b bound) meets(value float64) bool {
	if b.atLeast {
		return value >= b.limit
	}
	return value <= b.limit
}

// number computes a target's number for one build, with the samples that the pool returns.
type number func(build string, p pool) float64

// hold adds a target for this build, with the older build's number if that was measured. The table shows this
// build's measure and the peer's beside it. Without these measures hold adds nothing. Only a number with a
// unit needs no peer.
func (r *result) hold(b bound, what string, ours, peer *measure, f number) {
	if ours == nil || peer == nil && b.unit == "" {
		return
	}
	t := &target{What: what, Limit: b.limit, AtLeast: b.atLeast, Unit: b.unit, ours: ours, peer: peer}
	t.Value = f(thisBuild, all)
	t.Met = b.meets(t.Value)
	t.Low, t.High = interval(func(p pool) float64 { return f(thisBuild, p) })
	if r.get(olderBuild, ours.What) != nil && (peer == nil || peer.Subject != olderBuild) {
		older := f(olderBuild, all)
		t.Older = &older
	}
	r.Targets = append(r.Targets, t)
}

// quotient adds a target for the median of a measure divided by the peer's median. With thisBuild as the
// peer, each build is compared with itself.
func (r *result) quotient(b bound, text, what, peer, peerWhat string) {
	p := r.get(peer, peerWhat)
	r.hold(b, text, r.get(thisBuild, what), p, func(build string, pool pool) float64 {
		other := p
		if peer == thisBuild {
			other = r.get(build, peerWhat)
		}
		return median(pool, r.get(build, what)) / median(pool, other)
	})
}

func median(p pool, m *measure) float64 { return quantile(sorted(p(m)), 0.5) }

// drawnSamples are enough of a round for a p99.
const drawnSamples = 2000

// interval is the 90 % bootstrap interval of f: it draws rounds with replacement, 200 times.
func interval(f func(pool) float64) (low, high float64) {
	const draws = 200
	values := make([]float64, draws)
	for i := range values {
		drawn := map[*measure][]float64{}
		values[i] = f(func(m *measure) []float64 {
			if drawn[m] == nil {
				for range m.rounds {
					drawn[m] = append(drawn[m],
						thin(m.rounds[rand.IntN(len(m.rounds))], drawnSamples)...)
				}
			}
			return drawn[m]
		})
	}
	slices.Sort(values)
	return quantile(values, 0.05), quantile(values, 0.95)
}

// thin takes at most most samples, with the same quantiles. The least and the largest are among them.
func thin(samples []float64, most int) []float64 {
	if len(samples) <= most {
		return samples
	}
	ordered := sorted(samples)
	some := make([]float64, most)
	for i := range some {
		some[i] = ordered[i*(len(ordered)-1)/(most-1)]
	}
	return some
}
