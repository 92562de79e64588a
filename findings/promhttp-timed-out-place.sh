#!/bin/bash
# Guess:     with promhttp's Timeout and MaxRequestsInFlight, a scrape that was answered 503 for its
#            time-out has given its place back, so that the next scrape is tried.
# Behaviour: the place belongs to the collection, and nothing cancels that: it goes on after the answer
#            and holds the place until it ends. Until then each scrape is refused at once, without a
#            collection, so one slow collector makes several scrapes fail. Nor does promhttp read
#            the scraper's own X-Prometheus-Scrape-Timeout-Seconds.
# Versions:  github.com/prometheus/client_golang v1.25.0 (Go 1.26). Needs go.
# Seen:      first: 503 Exceeded configured timeout of 100ms.
#            while its collection goes on: 503 Limit of concurrent requests reached (1), try again later.
#            after it: 200
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'SOURCE'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	begun, end := make(chan bool, 3), make(chan bool)
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "slow", Help: "Waits."}, func() float64 {
		begun <- true
		<-end
		return 1
	}))
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{Timeout: 100 * time.Millisecond, MaxRequestsInFlight: 1})
	scrape := func() *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "10")
		handler.ServeHTTP(answer, request)
		return answer
	}
	answer := scrape()
	fmt.Println("first:", answer.Code, strings.TrimSpace(answer.Body.String()))
	answer = scrape()
	fmt.Println("while its collection goes on:", answer.Code, strings.TrimSpace(answer.Body.String()))
	if len(begun) != 1 {
		fmt.Println("the second scrape collected")
	}
	close(end)
	for answer.Code != http.StatusOK {
		time.Sleep(time.Millisecond)
		answer = scrape()
	}
	fmt.Println("after it:", answer.Code)
}
SOURCE
{ go mod init scrape && go get github.com/prometheus/client_golang@v1.25.0 && go mod tidy && go build; } >log 2>&1
timeout 20 ./scrape | tee seen
grep -q '^first: 503 Exceeded' seen && grep -q '^while its collection goes on: 503 Limit of concurrent' seen &&
	grep -qx 'after it: 200' seen && ! grep -q collected seen
