package sources

import (
	"fmt"
	"os/user"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// accounts looks up the numbers of the owner and the group.
func (s *Settings) accounts() (err error) {
	if s.Owner != nil {
		err = s.Owner.lookup("owner", "user", "/etc/passwd", "getent passwd",
			func(name string) (string, error) {
				u, err := user.Lookup(name)
				if err != nil {
					return "", err
				}
				return u.Uid, nil
			})
	}
	if s.Group != nil && err == nil {
		err = s.Group.lookup("group", "group", "/etc/group", "getent group",
			func(name string) (string, error) {
				g, err := user.LookupGroup(name)
				if err != nil {
					return "", err
				}
				return g.Gid, nil
			})
	}
	return err
}

// Account is a user or a group, by name or number.
type Account struct {
	name string
	id   uint32
}

// Number is the id, nil for a nil Account.
func (a *Account) Number() *uint32 {
	if a == nil {
		return nil
	}
	return &a.id
}

func (a *Account) UnmarshalYAML(n *yaml.Node) error {
	if tag := n.ShortTag(); tag != "!!str" && tag != "!!int" {
		return fmt.Errorf("line %d: %s is neither a name nor a number", n.Line, n.ShortTag())
	}
	a.name = n.Value
	return nil
}

// lookup finds the number. Without cgo, os/user asks for a name in one file alone, which is from. getent is
// the command that asks all sources.
func (a *Account) lookup(key, kind, from, getent string, find func(name string) (string, error)) error {
	number := a.name
	if strings.Trim(number, "0123456789") != "" || number == "" {
		var err error
		if number, err = find(a.name); err != nil {
			return fmt.Errorf("%s: no %s %q in %s, and no other source of names is asked: give the number (%s %s)",
				key, kind, a.name, from, getent, a.name)
		}
	}
	id, err := strconv.ParseUint(number, 10, 32)
	if err != nil || id == 1<<32-1 { // chown(2) reads -1 as no change
		return fmt.Errorf("%s: %s is no %s's number", key, number, kind)
	}
	a.id = uint32(id)
	return nil
}

// FileMode is a file's permissions; 0 if none are given.
type FileMode uint32

var readable = regexp.MustCompile(`^0?4[04][04]$`)

func (m *FileMode) UnmarshalYAML(n *yaml.Node) error {
	if n.ShortTag() != "!!str" || !readable.MatchString(n.Value) {
		return fmt.Errorf("line %d: mode %s: files can only be read: give \"0400\" to \"0444\", in quotes", n.Line, n.Value)
	}
	mode, err := strconv.ParseUint(n.Value, 8, 32)
	*m = FileMode(mode)
	return err
}
