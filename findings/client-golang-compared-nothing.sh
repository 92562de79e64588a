#!/bin/bash
# Guess:     testutil.GatherAndCompare fails a test if the names that it is given fit no metric, and at the
#            latest if the expected text has samples that were not gathered.
# Behaviour: it drops what the names do not fit from both sides and compares the rest, which is nothing. A
#            misspelt name passes with any expected values. So does the name of a sample, as it is in the
#            text: a histogram's latency_seconds_count, where the family is called latency_seconds.
#            Expected families that are not among the names are dropped as well.
# Versions:  github.com/prometheus/client_golang v1.25.0 (Go 1.26). Needs go.
# Seen:      named latency_seconds: passes: false
#            named latency_seconds_count: passes: true
#            named latencyseconds: passes: true
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const wrong = `# HELP latency_seconds Time to the answer.
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 7
latency_seconds_bucket{le="+Inf"} 9
latency_seconds_sum 99
latency_seconds_count 9
`

func main() {
	registry := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "latency_seconds", Help: "Time to the answer.", Buckets: []float64{1},
	})
	registry.MustRegister(latency)
	latency.Observe(0.5)
	for _, name := range []string{"latency_seconds", "latency_seconds_count", "latencyseconds"} {
		err := testutil.GatherAndCompare(registry, strings.NewReader(wrong), name)
		fmt.Printf("named %s: passes: %t\n", name, err == nil)
	}
}
END
{ go mod init compared && go get github.com/prometheus/client_golang@v1.25.0 && go mod tidy && go build; } >log 2>&1
./compared | tee seen

diff - seen <<'END'
named latency_seconds: passes: false
named latency_seconds_count: passes: true
named latencyseconds: passes: true
END
