#!/bin/bash
# Guess:     a vector that is curried with disk="sda" is the part of the vector with that label: what is
#            deleted through it is deleted of sda. Delete and DeletePartialMatch differ in that the second
#            may be given fewer labels.
# Behaviour: Delete keeps to sda. DeletePartialMatch does not look at the curried labels and deletes the
#            series of all other disks as well: with {} it empties the vector. Given the curried label
#            itself it deletes nothing. When one device goes, the counters of the others begin at 0 again.
# Versions:  github.com/prometheus/client_golang v1.25.0 (Go 1.26). Needs go.
# Seen:      of 4 series, 2 of sda, through the part of sda:
#            Delete(op=read, queue=0): 3 left, 2 of sdb
#            DeletePartialMatch(op=read): 2 left, 1 of sdb
#            DeletePartialMatch(): 0 left, 0 of sdb
#            DeletePartialMatch(disk=sda): 4 left, 2 of sdb
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'END'
package main

import (
	"fmt"
	"log"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

func main() {
	fmt.Println("of 4 series, 2 of sda, through the part of sda:")
	try("Delete(op=read, queue=0)", func(sda *prometheus.CounterVec) {
		sda.Delete(prometheus.Labels{"op": "read", "queue": "0"})
	})
	try("DeletePartialMatch(op=read)", func(sda *prometheus.CounterVec) {
		sda.DeletePartialMatch(prometheus.Labels{"op": "read"})
	})
	try("DeletePartialMatch()", func(sda *prometheus.CounterVec) {
		sda.DeletePartialMatch(prometheus.Labels{})
	})
	try("DeletePartialMatch(disk=sda)", func(sda *prometheus.CounterVec) {
		sda.DeletePartialMatch(prometheus.Labels{"disk": "sda"})
	})
}

func try(what string, deleteSome func(sda *prometheus.CounterVec)) {
	options := prometheus.CounterOpts{Name: "requests_total", Help: "Requests that ended."}
	requests := prometheus.NewCounterVec(options, []string{"disk", "op", "queue"})
	for _, disk := range []string{"sda", "sdb"} {
		requests.WithLabelValues(disk, "read", "0").Inc()
		requests.WithLabelValues(disk, "write", "0").Inc()
	}
	deleteSome(requests.MustCurryWith(prometheus.Labels{"disk": "sda"}))

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(requests)
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	left, other := 0, 0
	for _, family := range families {
		left += len(family.GetMetric())
		for _, metric := range family.GetMetric() {
			other += strings.Count(metric.String(), "sdb")
		}
	}
	fmt.Printf("%s: %d left, %d of sdb\n", what, left, other)
}
END
{ go mod init requests && go get github.com/prometheus/client_golang@v1.25.0 && go mod tidy && go build; } >log 2>&1
./requests | tee seen

diff - seen <<'END'
of 4 series, 2 of sda, through the part of sda:
Delete(op=read, queue=0): 3 left, 2 of sdb
DeletePartialMatch(op=read): 2 left, 1 of sdb
DeletePartialMatch(): 0 left, 0 of sdb
DeletePartialMatch(disk=sda): 4 left, 2 of sdb
END
