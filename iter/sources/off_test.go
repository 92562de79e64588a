package sources

import (
	"strings"
	"testing"
)

func TestOff(t *testing.T) {
	on, off := true, false
	for _, test := range []struct {
		asked    bool
		says     *bool
		attaches bool
		why      string // "" if the view is on
	}{
		{false, nil, false, ""}, {false, &on, false, ""},
		{false, &off, false, `/v.yaml says "enabled: false"`},
		{false, nil, true, `off: enable it with -o enable=v or "enabled: true" in v.yaml`},
		{false, &on, true, ""}, {false, &off, true, "/v.yaml says"},
		{true, nil, true, ""}, {true, &off, true, ""}, {true, &off, false, ""},
	} {
		src := &Source{name: "v", enabled: test.asked, settings: &file{path: "/v.yaml"}}
		err := src.Off(Settings{Enabled: test.says}, test.attaches)
		if (err == nil) != (test.why == "") || err != nil &&
			!strings.Contains(err.Error(), test.why) {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
