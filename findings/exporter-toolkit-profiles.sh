#!/bin/bash
# Guess:     the landing page that exporter-toolkit makes for an exporter has the links that it is given, and
#            no others.
# Behaviour: it also has links to /debug/pprof/heap and /debug/pprof/profile, and the advice to share such
#            profiles on a public site, if the string Profiling of the configuration is empty. The toolkit serves
#            no profiles itself. So an exporter with a mux of its own, or without an import of net/http/pprof,
#            has a page whose links are 404.
# Versions:  github.com/prometheus/exporter-toolkit v0.20.0 (Go 1.26). Needs go.
# Seen:      Profiling "": /metrics 200 /debug/pprof/heap 404 /debug/pprof/profile?seconds=60 404
#            Profiling "false": /metrics 200
#            Profiling "no": /metrics 200
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/prometheus/exporter-toolkit/web"
)

func main() {
	for _, profiling := range []string{"", "false", "no"} {
		page, err := web.NewLandingPage(web.LandingConfig{
			Name: "an exporter", Profiling: profiling,
			Links: []web.LandingLinks{{Address: "/metrics", Text: "Metrics"}},
		})
		if err != nil {
			panic(err)
		}
		mux := http.NewServeMux()
		mux.Handle("/{$}", page)
		mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
		get := func(path string) *httptest.ResponseRecorder {
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
			return answer
		}
		fmt.Printf("Profiling %q:", profiling)
		for _, link := range regexp.MustCompile(`href="(/[^"]*)"`).FindAllStringSubmatch(get("/").Body.String(), -1) {
			fmt.Printf(" %s %d", link[1], get(link[1]).Code)
		}
		fmt.Println()
	}
}
GO
go mod init example >log 2>&1
go get github.com/prometheus/exporter-toolkit/web@v0.20.0 >>log 2>&1
go build -o example . >>log 2>&1
./example | tee seen

diff - seen <<'END'
Profiling "": /metrics 200 /debug/pprof/heap 404 /debug/pprof/profile?seconds=60 404
Profiling "false": /metrics 200
Profiling "no": /metrics 200
END
