package mount

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"bpfviewfs/mount/place"
)

// Remount gives the bpfviewfs at o.Target the mount flags of o; only the atime family can differ. The own
// options of o must be among those of the mount, because mount(8) repeats fstab.
func Remount(o Options) error { return place.Remount(o.Target, o.Flags, o.unchanged) }

// unchanged returns an error if the mount at dir was made without an own option in o.
func (o Options) unchanged(dir string) error {
	words := o.own()
	if len(words) == 0 {
		return nil
	}
	var has []string
	line, err := askKeeper(dir, wordOptions)
	if err == nil {
		err = json.Unmarshal([]byte(line), &has)
	}
	if err != nil {
		return fmt.Errorf("remount with options %s: whether the mount has them is not known: %w",
			strings.Join(words, ","), err)
	}
	for _, word := range words {
		if !slices.Contains(has, word) {
			return fmt.Errorf("option %s: a remount cannot change it: unmount, and mount with it",
				word)
		}
	}
	return nil
}
