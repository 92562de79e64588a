package sources

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Pin is a foreign pin that makes a view.
type Pin struct {
	Name, Path string
	Stamp      string            // another one when it was replaced
	Flavours   map[string]string // paths of NAME___task and the like
	Err        error             // why it makes no view
}

// claim makes the pin a view's source. The pin was made for this name, and the program of an object cannot be
// pinned over it. So the object is the hidden one.
func (p *Pin) claim(found map[string]*Source) {
	src := &Source{name: p.Name, pin: p, err: p.Err}
	if old := found[p.Name]; old != nil && old.err == nil { // a refused file has no say
		switch {
		case old.masked != "" || p.Err != nil:
			return
		case old.object != nil:
			src.hides = old.String()
		default:
			src.settings = old.settings
		}
	}
	found[p.Name] = src
}

// RefusedPins are the names in a directory of pins that others than root can write, as pins that make no view
// for that reason, err. There are none if err is another error.
func RefusedPins(dir string, err error) (pins []*Pin) {
	if !errors.Is(err, unix.EPERM) {
		return nil
	}
	d, openErr := os.Open(dir)
	if openErr != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxRefused)
	for _, name := range names {
		if IsName(name) {
			pins = append(pins, &Pin{Name: name, Path: filepath.Join(dir, name),
				Stamp: err.Error(), Err: err})
		}
	}
	return pins
}
