// Release makes parts of a release from a built command, which tells its platform and its modules.
//
//	release image VERSION FILE OUT    an archive with one image that has the command
//	release sbom VERSION FILE OUT     a bill of materials in CycloneDX's JSON
//
// The same command gives the same bytes. Times are $SOURCE_DATE_EPOCH.
package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"strconv"
	"time"
)

// command is a built program.
type command struct {
	path    string
	version string // of the release
	time    time.Time
	info    *buildinfo.BuildInfo
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("want image or sbom, VERSION, FILE and OUT, not %q", args)
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: want seconds since 1970: %w", err)
	}
	info, err := buildinfo.ReadFile(args[2])
	if err != nil {
		return err
	}
	c := &command{args[2], args[1], time.Unix(epoch, 0).UTC(), info}
	out, err := os.Create(args[3])
	if err != nil {
		return err
	}
	defer out.Close()
	switch args[0] {
	case "image":
		err = c.writeImage(out)
	case "sbom":
		err = c.writeBill(out)
	default:
		err = fmt.Errorf("%q: want image or sbom", args[0])
	}
	if err != nil {
		return err
	}
	return out.Close()
}

// setting returns a setting of the build, for example GOARCH.
func (c *command) setting(name string) string {
	for _, s := range c.info.Settings {
		if s.Key == name {
			return s.Value
		}
	}
	return ""
}
