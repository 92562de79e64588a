package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"bpfviewfs/internal/errno"
	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// Settings are the content of NAME.yaml in a views directory. Every key is optional; an unknown one is an
// error. settings.schema.json is the same for editors.
type Settings struct {
	Description string `yaml:"description"` // in place of the object's help

	// Enabled false turns the view off. true turns it on, even if it is off by default.
	Enabled *bool `yaml:"enabled"`
	// Owner of the files, by name or number. The default is the owner of the cgroup's directory.
	Owner *Account `yaml:"owner"`
	// Group of the files, by name or number. The default is as for Owner.
	Group *Account `yaml:"group"`
	// Mode of the files, in octal and quotes, from "0400" to "0444".
	Mode FileMode `yaml:"mode"`

	// Match are globs of cgroups' paths below the top of the hierarchy. The view is in the cgroups that
	// one of them fits; the default is all. ? and * stay within one name, ** is any number of names,
	// {a,b} is either, [a-z] is one character, and \ takes the next character literally. A slash in front
	// may be left out. / alone is the top, which otherwise only ** fits. For example app.slice/** is
	// app.slice and all below it.
	Match []string `yaml:"match"`
	// Requires are controllers. The view is in the cgroups that have all of them in cgroup.controllers.
	Requires []string `yaml:"requires"`
	// Parameters gives the object's global variables other values. A value is a number, true,
	// false or a text.
	Parameters map[string]any `yaml:"parameters"`
	// Metrics says which part of the view collectors get, in .bpfview/textfile. rows is the whole of
	// .bpfview/tree/NAME.prom, totals the number of rows and the sums of each cgroup, and none nothing.
	// The default is totals. If all keys of the view have few values, it is rows without averages and
	// info.
	Metrics string `yaml:"metrics"`
	// Map is the path of a pinned map, for programs that iterate over one.
	Map string `yaml:"map"`
	// Record is the struct that the program writes, if no tag in the program says it.
	Record string `yaml:"record"`
	// Header and Footer are how many lines of a text are there once, though the program is run for each
	// process.
	Header *Lines `yaml:"header"`
	Footer *Lines `yaml:"footer"`

	warning string
}

// Lines is a number of lines. The decoder alone would take 1.9 for 1.
type Lines int

func (l *Lines) UnmarshalYAML(n *yaml.Node) error {
	if n.ShortTag() != "!!int" {
		return fmt.Errorf("line %d: header, footer: %s is no number of lines", n.Line, n.Value)
	}
	return n.Decode((*int)(l))
}

// Warning is one line about a setting that is valid and probably not meant, or "".
func (s *Settings) Warning() string { return s.warning }

// maxSettings is far above the size of a file written by hand.
const maxSettings = 64 << 10

// ParseSettings reads NAME.yaml. Its bytes may be anything.
func ParseSettings(raw []byte) (s Settings, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return Settings{}, errno.Errorf(unix.EINVAL, "%s", inWords(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Settings{}, errno.Errorf(unix.EINVAL, "there is more than one document")
	}
	if err := s.check(); err != nil {
		return Settings{}, errno.Errorf(unix.EINVAL, "%w", err)
	}
	s.warning = warnOfEscapes(raw)
	return s, nil
}

// goNames replaces the decoder's names for the types of settings.
var goNames = strings.NewReplacer(
	"yaml: ", "", "unmarshal errors:", "", "!!", "", " in type sources.Settings", " here",
	"[]string", "a list", "map[string]interface {}", "a mapping", "sources.Settings", "the settings",
	"into", "is not", "cannot unmarshal ", "",
)

// inWords is the decoder's message in one line, and in words of the file.
func inWords(err error) string {
	return strings.Join(strings.Fields(goNames.Replace(err.Error())), " ")
}

var (
	controllerName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	variableName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (s *Settings) check() error {
	if strings.ContainsFunc(s.Description, func(r rune) bool { return r < ' ' }) {
		return errors.New("description: more than one line")
	}
	for i, glob := range s.Match {
		if !doublestar.ValidatePattern(glob) {
			return fmt.Errorf("match: %q is no glob", glob)
		}
		s.Match[i] = strings.Trim(glob, "/")
	}
	for _, name := range s.Requires {
		if !controllerName.MatchString(name) {
			return fmt.Errorf("requires: %q is no controller's name", name)
		}
	}
	for _, lines := range []*Lines{s.Header, s.Footer} {
		if lines != nil && (*lines < 0 || *lines > 1000) {
			return fmt.Errorf("header, footer: %d is no number of lines", *lines)
		}
	}
	for name, value := range s.Parameters {
		if !variableName.MatchString(name) {
			return fmt.Errorf("parameters: %q is no variable's name", name)
		}
		switch value.(type) {
		case int, uint64, bool, string:
		default:
			return fmt.Errorf("parameters: %s is neither a whole number nor true, false or text",
				name)
		}
	}
	switch s.Metrics {
	case "", "rows", "totals", "none":
	default:
		return fmt.Errorf("metrics: %q is none of rows, totals, none", s.Metrics)
	}
	if s.Map != "" && !strings.HasPrefix(s.Map, "/") {
		return fmt.Errorf("map: %q is no absolute path", s.Map)
	}
	return s.accounts()
}
