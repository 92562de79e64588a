package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"bpfviewfs/.ci/stage"
)

// accept is the header of Prometheus.
const accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," +
	"application/openmetrics-text;version=0.0.1;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

// scraped is an exporter of a build.
type scraped struct {
	build  string
	server *stage.Server
	url    string
}

// scrapeRow compares scrapes of CPU times, memory and pressure with a C program that reads the files.
func scrapeRow(b *bench, r *result) error {
	views := []string{"cpu", "psi"}
	if _, err := os.Stat(b.treeFile(b.subjects[thisBuild], "tree", "memory.raw")); err == nil {
		views = append(views, "memory")
	} else {
		r.Notes = append(r.Notes, "without memory, whose controller another hierarchy has")
	}
	var exporters []scraped
	err := b.each([]string{thisBuild, olderBuild}, func(s *subject) error {
		if s.Name == olderBuild && exec.Command(b.program(s.Name), "exporter", "--help").Run() != nil {
			r.Notes = append(r.Notes, "the older build has no exporter")
			return nil
		}
		e, err := b.export(s, views)
		exporters = append(exporters, e)
		return err
	})
	if err != nil {
		return err
	}
	read := []turn{{cgroupfs, b.root, stage.Does("walk-metrics", b.stage.Cgroup+"/tree").Times(1), nil}}
	once := b.rounds(1)
	for range b.rounds(15) {
		if err := r.turns("time", once, read); err != nil {
			return err
		}
		for _, e := range exporters {
			for form, header := range map[string]http.Header{
				"gzip":       {"Accept": {accept}, "Accept-Encoding": {"gzip"}},
				"identity":   {"Accept": {accept}, "Accept-Encoding": {"identity"}},
				"plain gzip": {"Accept": {"text/plain"}, "Accept-Encoding": {"gzip"}},
			} {
				if err := e.measure(r, form, header); err != nil {
					return err
				}
			}
		}
	}
	for _, e := range exporters {
		_, peak, err := e.server.Memory()
		if err != nil {
			return err
		}
		r.add(e.build, "memory at its peak", "MiB", peak)
	}
	for _, form := range []string{"gzip", "identity", "plain gzip"} {
		r.quotient(atMost(0.25), "scrape, "+form+": time, in that of reading the files", form, cgroupfs,
			"time")
	}
	memory := "memory at its peak"
	r.hold(atMost(60).in("MiB"), "the exporter's "+memory, r.get(thisBuild, memory), nil,
		func(build string, p pool) float64 { return median(p, r.get(build, memory)) })
	return nil
}

// export starts an exporter of a build's mount, and waits until it answers.
func (b *bench) export(s *subject, views []string) (e scraped, err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return e, err
	}
	address := free.Addr().String()
	free.Close()
	query := "?collect[]=" + strings.Join(views, "&collect[]=")
	e = scraped{s.Name, nil, "http://" + address + "/metrics" + query}
	e.server, err = b.stage.Program(s.Name+"-exporter", b.program(s.Name), "exporter",
		s.file(b.stage.Name+"/tree", "", 0), "--log-level=warning", "--web.listen-address="+address)
	if err != nil {
		return e, err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = e.scrape(http.Header{}); err == nil || time.Now().After(deadline) {
			return e, err
		}
	}
}

// measure scrapes once.
func (e scraped) measure(r *result, form string, header http.Header) error {
	before, err := e.server.CPU()
	if err != nil {
		return err
	}
	begin := time.Now()
	size, err := e.scrape(header)
	took := time.Since(begin)
	if err != nil {
		return err
	}
	after, err := e.server.CPU()
	r.add(e.build, form, "µs", float64(took.Nanoseconds())/1e3)
	r.add(e.build, form+": exporter's CPU", "µs", float64((after-before).Nanoseconds())/1e3)
	r.add(e.build, form+": size", "MB", float64(size)/1e6)
	return err
}

// scrape returns the number of bytes that came.
func (e scraped) scrape(header http.Header) (int64, error) {
	request, err := http.NewRequest(http.MethodGet, e.url, nil)
	if err != nil {
		return 0, err
	}
	request.Header = header
	answer, err := http.DefaultTransport.RoundTrip(request) // which decodes nothing
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return 0, errors.New(answer.Status + ": " + string(text))
	}
	size, err := io.Copy(io.Discard, answer.Body)
	if err == nil && size == 0 {
		err = fmt.Errorf("%s: an empty answer", e.url)
	}
	return size, err
}
