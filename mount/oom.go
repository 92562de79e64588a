package mount

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// oomStep is how much sooner the kernel kills a server than its keeper when memory is short, as half of the
// memory there is (oom_score_adj in proc(5)). A killed server is replaced; without the keeper the mount would
// end.
const oomStep = 500

// spareKeeper makes room for servers above the keeper's own score, unless a unit has done so with
// OOMScoreAdjust=.
func spareKeeper() error {
	score, err := oomScore("self")
	if err != nil || score <= -oomStep {
		return err
	}
	return setOOMScore("self", score-oomStep)
}

// exposeServer puts a server's score above its keeper's. A standby is one step higher.
func exposeServer(pid int, standby bool) error {
	score, err := oomScore("self")
	if err != nil {
		return err
	}
	if score += oomStep; standby {
		score += oomStep
	}
	return setOOMScore(strconv.Itoa(pid), min(score, 1000))
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
