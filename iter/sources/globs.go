package sources

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// hexEscape is how systemd writes a byte in the name of a unit, and so of its cgroup.
var hexEscape = regexp.MustCompile(`^\\x[0-9a-fA-F]{2}`)

// warnOfEscapes tells if a glob of match: was meant as the name of a unit that systemctl shows with an
// escape, for example a\x2db.service, and names another cgroup. In a glob, and again in double quotes of
// YAML, a backslash is an escape itself. It returns "" if there is none.
func warnOfEscapes(raw []byte) string {
	var settings struct{ Match []yaml.Node }
	if yaml.Unmarshal(raw, &settings) != nil {
		return ""
	}
	lines := strings.Split(string(raw), "\n")
	for _, n := range settings.Match {
		written := n.Value
		if n.Style == yaml.DoubleQuotedStyle && escapeTwice(written) == written {
			written = inQuotes(lines, n)
		}
		if right := escapeTwice(written); right != written {
			return fmt.Sprintf("match: %s is the cgroup %s and no unit: systemctl shows the unit as %s, "+
				"so write '%s'", written, strings.ReplaceAll(n.Value, `\`, ""),
				written, right)
		}
	}
	return ""
}

// inQuotes is the text of a node as it stands between its double quotes on one line.
func inQuotes(lines []string, n yaml.Node) string {
	if n.Line < 1 || n.Line > len(lines) {
		return ""
	}
	line := []rune(lines[n.Line-1])
	if n.Column > len(line) {
		return ""
	}
	text := string(line[n.Column:]) // columns begin at 1, and the first is the quote
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[:i]
		}
	}
	return text
}

// escapeTwice doubles the backslash of each hexEscape.
func escapeTwice(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		if glob[i] == '\\' {
			// an escape of a glob, with the character after it
			if !hexEscape.MatchString(glob[i:]) && i+1 < len(glob) {
				b.WriteByte(glob[i])
				i++
			} else {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(glob[i])
	}
	return b.String()
}
