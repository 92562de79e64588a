// Command test runs go test and reports a line for each package and the output of failed tests. At the end it
// counts the tests that passed, failed and were skipped, with one line for each reason to skip.
//
//	go run .ci/test.go [-strict] [-results FILE] -- ARGUMENTS-OF-GO-TEST...
//
// It exits with 1 if a test failed or none ran, with -strict also if one was skipped. The file gets a line
// "pass NAME", "fail NAME" or "skip NAME" for each test.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json (see go doc cmd/test2json).
type event struct {
	Action, Package, Test, Output string
}

var (
	strict  = flag.Bool("strict", false, "fail if a test is skipped")
	path    = flag.String("results", os.DevNull, "append the result of each test to this file")
	results *os.File

	count   = map[string]int{}      // of tests, by action
	output  = map[string]string{}   // of tests that have not ended, by name
	skipped = map[string][]string{} // names of tests, by reason
	reason  = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)\n\s*--- SKIP`)
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	var err error
	results, err = os.OpenFile(*path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, flag.Args()...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		log.Fatal(err)
	}
	for lines := json.NewDecoder(bufio.NewReader(stdout)); ; {
		var e event
		if err := lines.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			log.Fatalf("go test -json: %v", err)
		}
		if e.Test != "" {
			test(e)
		} else {
			pkg(e)
		}
	}
	err = cmd.Wait()
	report()
	switch {
	case err != nil, count["fail"] > 0, count["pass"] == 0, *strict &&
		count["skip"] > 0, results.Close() != nil:
		os.Exit(1)
	}
}

func test(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		output[name] += e.Output
	case "fail":
		fmt.Print(output[name])
		end(name, "fail")
	case "skip":
		why := "no reason given"
		if found := reason.FindStringSubmatch(output[name]); found != nil {
			why = found[1]
		}
		skipped[why] = append(skipped[why], e.Test)
		end(name, "skip")
	case "pass":
		end(name, "pass")
	}
}

func end(name, result string) {
	count[result]++
	fmt.Fprintln(results, result, name)
	delete(output, name)
}

func pkg(e event) {
	switch e.Action {
	case "output", "build-output":
		if e.Output != "PASS\n" && e.Output != "FAIL\n" {
			fmt.Print(e.Output)
		}
	case "fail":
		// Tests that ran when the process ended.
		for _, name := range slices.Sorted(maps.Keys(output)) {
			if strings.HasPrefix(name, e.Package+" ") {
				fmt.Print(output[name])
				end(name, "fail")
			}
		}
	}
}

func report() {
	fmt.Printf("%d passed, %d failed, %d skipped\n", count["pass"], count["fail"], count["skip"])
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		names := skipped[why]
		if len(names) > 20 {
			names = append(names[:20:20], fmt.Sprintf("and %d more", len(names)-20))
		}
		fmt.Printf("skipped, %s: %s\n", why, strings.Join(names, ", "))
	}
}
