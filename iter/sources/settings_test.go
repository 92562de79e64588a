package sources

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func exampleSettings(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("../../docs/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSettings(t *testing.T) {
	s, err := ParseSettings(exampleSettings(t))
	if err != nil {
		t.Fatal(err)
	}
	on, header, footer := true, Lines(1), Lines(0)
	want := Settings{
		Description: "runnable tasks of the web servers", Enabled: &on,
		Owner: &Account{"root", 0}, Group: &Account{"0", 0}, Mode: 0o440,
		Match:      []string{"system.slice/*.service", "user.slice/**", ""},
		Requires:   []string{"cpu", "memory"},
		Parameters: map[string]any{"min_runtime_ns": 1000000, "with_threads": true, "comm": "nginx"},
		Metrics:    "totals",
		Record:     "connection_entry", Header: &header, Footer: &footer,
		Map: "/sys/fs/bpf/connections",
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, nothing := range []string{"", "# nothing\n", "null\n", "{}\n", "---\n"} {
		if s, err := ParseSettings([]byte(nothing)); err != nil || !reflect.DeepEqual(s, Settings{}) {
			t.Errorf("%q: %+v, %v", nothing, s, err)
		}
	}
}

// A unit is named in a glob as systemctl shows it, and the glob names another cgroup.
func TestWarningOfEscapes(t *testing.T) {
	const unit = `a\x2db.service`
	const right = `'a\\x2db.service'`
	for text, want := range map[string]string{
		`match: [` + unit + `]`:                        right,
		`match: ['` + unit + `']`:                      right,
		`match: ["` + unit + `"]`:                      right,
		"match:\n  - '/" + unit + "'\n":                `'/a\\x2db.service'`,
		`match: ["é", "x*", "*/` + unit + `/**"]`:      `'*/a\\x2db.service/**'`,
		`match: ["a\\x2db.service"]`:                   right,
		`match: [` + strings.Trim(right, "'") + `]`:    "",
		`match: [` + right + `]`:                       "",
		`match: ["a\\\\x2db.service"]`:                 "",
		`match: ["a\tb", 'a\*b', 'x2d', "a\"b", '\x']`: "",
		"description: x":                               "",
	} {
		s, err := ParseSettings([]byte(text))
		if err != nil || (s.Warning() != "") != (want != "") ||
			!strings.HasSuffix(s.Warning(), want) {
			t.Errorf("%s: %q, %v", text, s.Warning(), err)
		}
	}
}

// Some rules depend on the machine, or are about YAML itself. The schema cannot have them.
const (
	both = iota
	structOnly
)

var wrongSettings = map[string]struct {
	text, says string
	who        int
}{
	"unknown key":     {"colour: red", "line 1: field colour not found", both},
	"list at the top": {"- a", "line 1: seq is not the settings", both},
	"text at the top": {"hello", "line 1: str `hello` is not the settings", both},
	"no yaml":         {"a: [", "did not find expected node content", structOnly},
	"twice":           {"map: /a\nmap: /b", "already defined", structOnly},
	"documents":       {"map: /a\n---\nmap: /b", "more than one document", structOnly},
	"enabled":         {"enabled: maybe", "line 1: str `maybe` is not bool", both},
	"description":     {"description: [a]", "line 1: seq is not string", both},
	"lines":           {`description: "a\nb"`, "more than one line", both},
	"owner of a kind": {"owner: true", "neither a name nor a number", both},
	"unknown owner": {"owner: nobody-of-this-name", `owner: no user "nobody-of-this-name" in /etc/passwd`,
		structOnly},
	"unknown group": {"group: nobody-of-this-name", `group: no group "nobody-of-this-name" in /etc/group`,
		structOnly},
	"owner -1":          {"owner: 4294967295", "no user's number", both},
	"large group":       {"group: 99999999999", "no group's number", both},
	"mode as a number":  {"mode: 0440", `give "0400" to "0444", in quotes`, both},
	"mode with letters": {`mode: "rw"`, `give "0400" to "0444", in quotes`, both},
	"mode to write":     {`mode: "0644"`, `give "0400" to "0444", in quotes`, both},
	"mode to execute":   {`mode: "0555"`, `give "0400" to "0444", in quotes`, both},
	"mode for nobody":   {`mode: "0000"`, `give "0400" to "0444", in quotes`, both},
	"match":             {"match: a", "line 1: str `a` is not a list", both},
	"bad glob":          {`match: ["a[", b]`, `"a[" is no glob`, structOnly},
	"requires":          {"requires: [CPU]", `"CPU" is no controller`, both},
	"parameters":        {"parameters: [a]", "line 1: seq is not a mapping", both},
	"bad parameter":     {"parameters: {a-b: 1}", `"a-b" is no variable`, both},
	"real number":       {"parameters: {a: 1.5}", "a is neither", both},
	"no value":          {"parameters: {a: }", "a is neither", both},
	"date":              {"parameters: {a: 2001-01-01}", "a is neither", structOnly},
	"metrics":           {"metrics: rowz", `metrics: "rowz" is none of rows, totals, none`, both},
	"part of a line":    {"header: 1.9", "1.9 is no number of lines", both},
	"minus half a line": {"footer: -0.5", "-0.5 is no number of lines", both},
	"lines in words":    {"header: one", "one is no number of lines", both},
	"list of lines":     {"header: [1]", "no number of lines", both},
	"minus one line":    {"header: -1", "-1 is no number of lines", both},
	"relative map":      {"map: pins/a", "no absolute path", both},
}

func TestWrongSettings(t *testing.T) {
	for name, test := range wrongSettings {
		_, err := ParseSettings([]byte(test.text))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v does not say %q", name, err, test.says)
			continue
		}
		ktest.Errno(t, name, err, syscall.EINVAL)
		if strings.Contains(err.Error(), syscall.EINVAL.Error()) {
			t.Errorf("%s: %v ends with words that say nothing", name, err)
		}
	}
}

func settingsSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	raw, err := os.ReadFile("settings.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("settings.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("settings.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// asJSON is the document that an editor hands to a validator.
func asJSON(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The schema and the struct agree about every key, and about right and wrong values.
func TestSchemaIsTheStruct(t *testing.T) {
	schema := settingsSchema(t)
	if err := schema.Validate(asJSON(t, exampleSettings(t))); err != nil {
		t.Errorf("the example: %v", err)
	}
	for name, test := range wrongSettings {
		if test.who == both && schema.Validate(asJSON(t, []byte(test.text))) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
	kinds := map[reflect.Type]string{
		reflect.TypeFor[string](): "string", reflect.TypeFor[*bool](): "boolean",
		reflect.TypeFor[*Lines]():   "integer",
		reflect.TypeFor[*Account](): "integer string",
		reflect.TypeFor[FileMode](): "string", reflect.TypeFor[[]string](): "array",
		reflect.TypeFor[map[string]any](): "object",
	}
	fields := slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[Settings]()),
		func(f reflect.StructField) bool { return !f.IsExported() })
	for _, f := range fields {
		key := f.Tag.Get("yaml")
		property := schema.Properties[key]
		if property == nil {
			t.Errorf("the schema lacks %s", key)
			continue
		}
		got := strings.Join(property.Types.ToStrings(), " ")
		if got != kinds[f.Type] {
			t.Errorf("%s: the schema says %q, the struct %q", key, got, kinds[f.Type])
		}
		if property.Description == "" {
			t.Errorf("%s: no description", key)
		}
	}
	if len(fields) != len(schema.Properties) {
		t.Errorf("%d properties, %d fields", len(schema.Properties), len(fields))
	}
}

func FuzzSettings(f *testing.F) {
	f.Add(exampleSettings(f))
	for _, test := range wrongSettings {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseSettings(raw)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("several lines: %q", err)
			}
			return
		}
		if s.Mode&^0o444 != 0 {
			t.Errorf("mode %o", s.Mode)
		}
	})
}
