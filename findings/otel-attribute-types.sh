#!/bin/bash
# Guess:     OpenTelemetry's exporter for Prometheus shows two instruments or attributes, whose names or
#            values look the same to Prometheus, as one series, or leaves one of them out with a word in the
#            log.
# Behaviour: the SDK keeps shard="1" apart from shard=1, and queue.depth from queue_depth. The exporter
#            writes a series for each, and Prometheus' names for both are the same. So the registry refuses
#            them when it collects, and promhttp by default answers 500 in place of the page. One Int among
#            Strings takes away all metrics of the process until its end. Attributes a.b and a_b are joined
#            instead.
# Versions:  go.opentelemetry.io/otel/exporters/prometheus v0.69.0 with otel/sdk/metric v1.47.0,
#            github.com/prometheus/client_golang v1.24.1 (Go 1.26). Needs go.
# Seen:      one type: 200, up in the page: true
#            two types: 500, up in the page: false
#            collected metric "requests_total" ... was collected before with the same name and label values
#            two dots: 500, up in the page: false
#            collected metric "queue_depth" ... was collected before with the same name and label values
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"regexp"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

func main() {
	text, number := attribute.String("shard", "1"), attribute.Int("shard", 1)
	scrape("one type", func(meter metric.Meter) {
		count(meter, "requests", text)
		count(meter, "requests", text)
	})
	scrape("two types", func(meter metric.Meter) {
		count(meter, "requests", text)
		count(meter, "requests", number)
	})
	scrape("two dots", func(meter metric.Meter) {
		add(meter, "queue.depth")
		add(meter, "queue_depth")
	})
}

func count(meter metric.Meter, name string, attribute attribute.KeyValue) {
	counter, err := meter.Int64Counter(name)
	check(err)
	counter.Add(context.Background(), 1, metric.WithAttributes(attribute))
}

func add(meter metric.Meter, name string) {
	counter, err := meter.Int64UpDownCounter(name)
	check(err)
	counter.Add(context.Background(), 1)
}

var values = regexp.MustCompile(`\{.*\}`)

func scrape(what string, use func(metric.Meter)) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry))
	check(err)
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("example")
	add(meter, "up")
	use(meter)

	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	page := answer.Body.String()
	fmt.Printf("%s: %d, up in the page: %v\n", what, answer.Code, strings.Contains(page, "\nup{"))
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "collected") {
			fmt.Print(values.ReplaceAllString(line, "..."))
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
END
{
	go mod init example
	go get go.opentelemetry.io/otel/exporters/prometheus@v0.69.0 go.opentelemetry.io/otel/sdk/metric@v1.47.0 \
		github.com/prometheus/client_golang@v1.24.1
	go mod tidy
	go build
} >log 2>&1
./example | tee seen

diff - seen <<'END'
one type: 200, up in the page: true
two types: 500, up in the page: false
collected metric "requests_total" ... was collected before with the same name and label values
two dots: 500, up in the page: false
collected metric "queue_depth" ... was collected before with the same name and label values
END
