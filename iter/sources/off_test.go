package sources

import (
	"strings"
	"testing"
)

func TestOff(t *testing.T) {
	on, off := true, false
	const enable = `off: enable it with -o enable=v or "enabled: true" in v.yaml`
	for _, test := range []struct {
		asked    bool
		settings string // their path, "" if they are built in
		says     *bool
		attaches bool
		why      string // "" if the view is on
	}{
		{false, "/v.yaml", nil, false, ""}, {false, "/v.yaml", &on, false, ""},
		{false, "/v.yaml", &off, false, `/v.yaml says "enabled: false"`},
		{false, "/v.yaml", nil, true, enable}, {false, "/v.yaml", &on, true, ""},
		{false, "/v.yaml", &off, true, "/v.yaml says"},
		{false, "", nil, false, ""}, {false, "", &off, false, enable}, {true, "", &off, false, ""},
		{true, "/v.yaml", nil, true, ""}, {true, "/v.yaml", &off, true, ""}, {true, "/v.yaml", &off, false, ""},
	} {
		src := &Source{name: "v", enabled: test.asked, settings: &file{path: test.settings}}
		err := src.Off(Settings{Enabled: test.says}, test.attaches)
		if (err == nil) != (test.why == "") || err != nil &&
			!strings.Contains(err.Error(), test.why) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
