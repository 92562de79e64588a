package mount

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// oomStep is by how much the kernel prefers a server to its keeper when memory is short: half of the memory there is, see
// oom_score_adj in proc(5). A server that is killed is replaced and readers wait for a moment; the keeper is the mount.
const oomStep = 500

// spareKeeper makes room for servers above the keeper's own score, if nobody else has done so: a unit has OOMScoreAdjust=.
func spareKeeper() error {
	score, err := oomScore("self")
	if err != nil || score <= -oomStep {
		return err
	}
	return setOOMScore("self", score-oomStep)
}

// exposeServer puts a server's score above its keeper's.
func exposeServer(pid int) error {
	score, err := oomScore("self")
	if err != nil {
		return err
	}
	return setOOMScore(strconv.Itoa(pid), min(score+oomStep, 1000))
}

func oomScore(pid string) (int, error) {
	text, err := os.ReadFile("/proc/" + pid + "/oom_score_adj")
	if err != nil {
		return 0, fmt.Errorf("read the score of process %s: %w", pid, err)
	}
	return strconv.Atoi(string(bytes.TrimSpace(text)))
}

func setOOMScore(pid string, score int) error {
	if err := os.WriteFile("/proc/"+pid+"/oom_score_adj", []byte(strconv.Itoa(score)), 0); err != nil {
		return fmt.Errorf("set the score of process %s: %w", pid, err)
	}
	return nil
}
