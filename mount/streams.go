package mount

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// streams are the standard streams of a server.
type streams struct {
	files []*os.File
	said  *os.File // the stderr of a server in the background; nil in the foreground
}

// streams gives a server in the background new streams, because the caller of mount(8) may wait for the
// keeper's to end.
func (k *Keeper) streams() (streams, error) {
	if k.Options.Foreground {
		return streams{files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}, nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return streams{}, fmt.Errorf("start a server: %w", err)
	}
	said, stderr, err := os.Pipe()
	if err != nil {
		null.Close()
		return streams{}, fmt.Errorf("start a server: make a pipe: %w", err)
	}
	return streams{[]*os.File{null, null, stderr}, said}, nil
}

// close closes the keeper's copies.
func (s streams) close() {
	if s.said != nil {
		s.files[0].Close()
		s.files[2].Close()
	}
}

// relay logs the stderr of a server in the background. A crash's trace is cut at its end, because the
// beginning tells most.
func (k *Keeper) relay(stderr *os.File) {
	const most = 40
	defer stderr.Close()
	lines := bufio.NewScanner(stderr)
	for n := 0; lines.Scan(); n++ {
		if text := strings.TrimSpace(lines.Text()); n < most && text != "" {
			k.Logf("server: %s", text)
		}
	}
	io.Copy(io.Discard, stderr) // a line too long for a Scanner
}
