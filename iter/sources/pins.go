package sources

import (
	"errors"
	"os"
	"path/filepath"
)

// TrustPins refuses a directory of the registry's own that others can write, or that is in such a directory.
// Whoever can write there could have a walk or a count run with maps of their own.
func TrustPins(dir string) error {
	for _, place := range []string{filepath.Dir(dir), dir} {
		info, err := os.Stat(place)
		if errors.Is(err, os.ErrNotExist) || err == nil && place != dir && info.Mode()&os.ModeSticky != 0 {
			continue
		}
		if err == nil {
			err = Trusted(place, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
