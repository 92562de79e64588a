#!/bin/bash
# Guess:     a metric's name with a dot is refused when it is registered; and a page that
#            prometheus/common writes as text can be read by everything that reads the text format.
# Behaviour: the registry takes the name, as names may be any UTF-8 today, and the text encoder
#            writes the quoted form {"queue.depth"} with no word about it. promtool and
#            node_exporter of Debian 12 refuse the page from its first line on, all its other
#            metrics included.
# Versions:  github.com/prometheus/client_golang v1.25.0 with common v0.72.0 (Go 1.26); Debian 12:
#            prometheus 2.42.0+ds-5+deb12u1. Needs go and apt.
# Seen:      registered, {"queue.depth"} 0
#            promtool: text format parsing error in line 1: invalid metric name in comment
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download prometheus=2.42.0+ds-5+deb12u1 2>/dev/null
dpkg-deb -x ./*.deb root
mkdir page && cd page
cat >main.go <<'END'
package main

import (
	"log"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func main() {
	registry := prometheus.NewRegistry()
	depth := prometheus.NewGauge(prometheus.GaugeOpts{Name: "queue.depth", Help: "Requests that wait."})
	if err := registry.Register(depth); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, family); err != nil {
			log.Fatal(err)
		}
	}
}
END
{ go mod init page && go get github.com/prometheus/client_golang@v1.25.0 github.com/prometheus/common@v0.72.0 && go mod tidy; } >log 2>&1
go run . >page.prom
echo "registered, $(tail -n 1 page.prom)"
status=0
../root/usr/bin/promtool check metrics <page.prom 2>said || status=$?
echo "promtool: $(sed 's/.*linting: //' said)"

[ $status = 1 ] && grep -qx '{"queue.depth"} 0' page.prom && grep -q 'line 1: invalid metric name' said
