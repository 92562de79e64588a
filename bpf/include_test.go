package bpf

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// defined finds the names that a header defines: macros, functions, types, and maps or variables.
var defined = regexp.MustCompile(`(?m)^#define (\w+)|^(?:static |__noinline |const )[^=(]*?\b(\w+)(?:\(| =|;)|` +
	`^(?:struct|enum|union) (\w+) \{|^\} (\w+)|^char (\w+)\[`)

// expected are names that libbpf or C expects, or that the kernel has.
var expected = []string{"bpf_ksym_exists", "NULL", "true", "false", "bpf_iter_num", "__attribute__"}

// Whoever includes the headers has their names beside those of their own program.
func TestPublicNamesHaveAPrefix(t *testing.T) {
	headers, err := fs.Glob(Headers, "include/*.h")
	if err != nil || len(headers) < 5 {
		t.Fatalf("headers %v, %v", headers, err)
	}
	found := 0
	for _, header := range headers {
		text, err := Headers.ReadFile(header)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range defined.FindAllStringSubmatch(string(text), -1) {
			name := strings.Join(match[1:], "")
			if strings.HasSuffix(header, "/kernel.h") && !strings.HasPrefix(match[0], "#define") {
				continue // the kernel's types
			}
			found++
			if !regexp.MustCompile(`^(BPFVIEW|VIEW|view)_`).MatchString(name) && !strings.Contains(name, "___") &&
				!slices.Contains(expected, name) {
				t.Errorf("%s: %s in %q has no prefix", header, name, match[0])
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d names", found)
	}
}
